import assert from "node:assert/strict";
import { basename, join } from "node:path";
import { testCertificate } from "../testing/certificate.ts";
import { readCertificatePair } from "../certificate.ts";
import { accountKey } from "./account_key.ts";
import { caFolder } from "./ca_folder.ts";
import { CertificateFiles } from "./certificate_files.ts";

const DAY_MS = 86_400_000;
const POSIX = Deno.build.os !== "windows";

async function withFolder(test: (folder: string, files: CertificateFiles) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "spokes-files-" });
  try {
    await test(folder, new CertificateFiles(join(folder, "ca")));
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

async function pairFor(...names: string[]) {
  return readCertificatePair(await testCertificate(...names));
}

Deno.test("what is saved is loaded again, and replaces what was before", () =>
  withFolder(async (_folder, files) => {
    const names = ["*.example.com", "example.com"];
    assert.equal((await files.load(names, Date.now())).kind, "missing");
    const [first, second] = [await pairFor(...names), await pairFor(...names)];
    for (const pair of [first, second]) {
      await files.save(names, pair);
      const stored = await files.load(names, Date.now());
      assert.ok(stored.kind === "usable");
      assert.deepEqual([stored.pair.certificate, stored.pair.key], [pair.certificate, pair.key]);
    }
    const left = [...Deno.readDirSync(join(files.pathOf(names), ".."))];
    assert.equal(left.length, 1, "a temporary file was left");
  }));

Deno.test("each set of names has a file of its own, with a safe name", () =>
  withFolder(async (_folder, files) => {
    const sets = [["a.example.com"], ["*.example.com"], ["a.example.com", "b.example.com"], [
      "a.example.com",
      "c.example.com",
    ]];
    const paths = sets.map((names) => basename(files.pathOf(names)));
    assert.deepEqual(paths.slice(0, 2), ["a.example.com.pem", "_wildcard.example.com.pem"]);
    assert.equal(new Set(paths).size, sets.length);
    for (const path of paths) assert.match(path, /^[a-z0-9._+-]+\.pem$/);
    await Promise.resolve();
  }));

Deno.test("what must not be used is broken, with the reason", () =>
  withFolder(async (_folder, files) => {
    const names = ["a.example.com"];
    const path = files.pathOf(names);
    const [pair, other] = [await pairFor(...names), await pairFor("b.example.com")];
    await files.save(names, pair);
    const cases: [string, number, RegExp][] = [
      ["", Date.now(), /no private key/],
      [pair.key, Date.now(), /no certificate/],
      [other.key + pair.certificate, Date.now(), /key does not belong/],
      [pair.key + pair.certificate.slice(0, 200), Date.now(), /no certificate/],
      [other.key + other.certificate, Date.now(), /it is for b\.example\.com/],
      [pair.key + pair.certificate, Date.now() + 2 * DAY_MS, /expired/],
      [pair.key + pair.certificate, Date.now() - 2 * DAY_MS, /not valid before/],
      ["x".repeat(300 * 1024), Date.now(), /larger than/],
    ];
    for (const [text, now, reason] of cases) {
      await Deno.writeTextFile(path, text);
      const stored = await files.load(names, now);
      assert.ok(stored.kind === "broken", String(reason));
      assert.match(stored.error.message, reason);
    }
  }));

Deno.test({
  name: "files that others may open, links, and folders that others may write to are not used (security R15)",
  ignore: !POSIX,
  fn: () =>
    withFolder(async (folder, files) => {
      const names = ["a.example.com"];
      const path = files.pathOf(names);
      await files.save(names, await pairFor(...names));
      assert.equal(Deno.statSync(path).mode! & 0o777, 0o600);
      async function fault(): Promise<string> {
        const stored = await files.load(names, Date.now());
        return stored.kind === "broken" ? stored.error.message : stored.kind;
      }
      for (const mode of [0o640, 0o604, 0o620]) {
        await Deno.chmod(path, mode);
        assert.match(await fault(), /others may open it/);
      }
      await Deno.chmod(path, 0o600);
      await Deno.rename(path, join(folder, "elsewhere"));
      await Deno.symlink(join(folder, "elsewhere"), path);
      assert.match(await fault(), /not a plain file/);
      await Deno.chmod(join(folder, "ca"), 0o770);
      await assert.rejects(files.save(names, await pairFor(...names)), {
        kind: "STATE_UNAVAILABLE",
        message: /chmod 700/,
      });
    }),
});

Deno.test("an account key is made once, is nobody else's, and is never replaced by itself", () =>
  withFolder(async (folder) => {
    const ca = join(folder, "ca");
    const key = await accountKey(ca);
    assert.equal(await accountKey(ca), key);
    const path = join(ca, "account.pem");
    if (POSIX) assert.equal(Deno.statSync(path).mode! & 0o777, 0o600);
    await Deno.writeTextFile(path, "broken");
    await assert.rejects(accountKey(ca), { kind: "STATE_UNAVAILABLE", message: /remove it to register anew/ });
    assert.equal(await Deno.readTextFile(path), "broken");
  }));

Deno.test("each CA has a folder of its own, below the one given", () => {
  const directories = [
    "https://ca.example/dir",
    "https://ca.example/staging",
    "https://ca.example:14000/dir",
    "https://[::1]/../x",
  ];
  const folders = directories.map((directory) => caFolder("/state", directory));
  assert.equal(new Set(folders).size, directories.length);
  for (const folder of folders) assert.match(folder, /^\/state\/[a-z0-9._-]+$/);
});
