import assert from "node:assert/strict";
import { dirname, join } from "node:path";
import type { CertificatePair, CertificatePem } from "../../net/certificate.ts";
import { type LogFields, type Logger, SILENT } from "../../net/log.ts";
import { testCertificate } from "../../net/testing/certificate.ts";
import { CodedError } from "../../protocol/errors.ts";
import { findCertificateFiles } from "./certificate_files.ts";
import { createCa, signLeaf } from "../sign_certificate.ts";
import { type WatchedCertificate, WatchedCertificates } from "./watched_certificates.ts";

const DAY_MS = 86_400_000;
const isWindows = Deno.build.os === "windows";

/** A folder with certificates, and what is said about them. */
class Setup implements AsyncDisposable {
  readonly root = Deno.makeTempDirSync();
  readonly said: { event: string; fields: LogFields }[] = [];
  readonly changes: (readonly CertificatePair[])[] = [];
  readonly folder: WatchedCertificates;
  nowMs = Date.now();

  constructor() {
    const say = (event: string, fields: LogFields = {}) => void this.said.push({ event, fields });
    const log: Logger = { debug: say, info: say, warn: say, error: say };
    this.folder = new WatchedCertificates(() => findCertificateFiles(this.root), {
      log,
      onChange: (pairs) => this.changes.push(pairs),
      now: () => this.nowMs,
      pollMs: 5,
    });
  }

  #writes = 0;

  write(file: string, text: string, mode = 0o600): void {
    const path = join(this.root, file);
    Deno.mkdirSync(dirname(path), { recursive: true });
    Deno.writeTextFileSync(path, text);
    if (!isWindows) Deno.chmodSync(path, mode);
    // Two writes of one moment would have the same times, as no person's ever have.
    Deno.utimeSync(path, new Date(), new Date(Date.now() + ++this.#writes * 1_000));
  }

  remove(file: string): void {
    Deno.removeSync(join(this.root, file), { recursive: true });
  }

  /** Looks; gives what was said meanwhile: event and file. */
  async look(): Promise<string[]> {
    this.said.length = 0;
    await this.folder.look();
    return this.said.map(({ event, fields }) => `${event}: ${fields.file}`);
  }

  entry(file: string): WatchedCertificate {
    return this.folder.certificates.find((entry) => entry.file === file) ?? assert.fail(`no entry ${file}`);
  }

  /** What is in use, as `file: names`. */
  get used(): string[] {
    return this.folder.certificates.filter(({ pair }) => pair !== undefined)
      .map(({ file, pair }) => `${file.replaceAll("\\", "/")}: ${pair!.names.join(" ")}`).sort();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.folder[Symbol.asyncDispose]();
    Deno.removeSync(this.root, { recursive: true });
  }
}

/** Good for 90 days from `now` (ms since the epoch). */
async function certificateFrom(now: number): Promise<CertificatePem> {
  return await signLeaf(await createCa(now), "a.test", now);
}

Deno.test("pairs are recognised however people store them, also behind links and in folders below", async () => {
  await using setup = new Setup();
  const pem = async (name: string) => await testCertificate(name);
  const layouts: [certificate: string, key: string, name: string][] = [
    ["certbot/live/a.test/fullchain.pem", "certbot/live/a.test/privkey.pem", "a.test"],
    ["k8s/tls.crt", "k8s/tls.key", "k8s.test"],
    ["plain/b.test.pem", "plain/b.test.key", "b.test"],
    ["plain/c.test.cer", "plain/c.test.key", "c.test"],
    ["plain/d.crt.pem", "plain/d.key.pem", "d.test"],
    ["mkcert/e.test.pem", "mkcert/e.test-key.pem", "e.test"],
    ["simple/cert.pem", "simple/key.pem", "simple.test"],
    ["acme.sh/fullchain.cer", "acme.sh/f.test.key", "f.test"],
  ];
  for (const [certificate, key, name] of layouts) {
    const pair = await pem(name);
    setup.write(certificate, pair.certificate, 0o644);
    setup.write(key, pair.key);
    if (certificate.includes("fullchain")) {
      setup.write(certificate.replace("fullchain", "cert"), pair.certificate, 0o644);
    }
    if (certificate.includes("fullchain")) {
      setup.write(certificate.replace("fullchain", "chain"), pair.authority, 0o644);
    }
    if (name === "k8s.test") setup.write("k8s/ca.crt", pair.authority, 0o644);
  }
  const both = await pem("both.test");
  setup.write("both.pem", both.key + both.certificate);
  setup.write("README", "not a certificate");
  setup.write(".hidden.pem", "not finished");
  if (!isWindows) {
    const linked = await pem("linked.test");
    setup.write("archive/.v1/chain", linked.certificate);
    setup.write("archive/.v1/key", linked.key);
    Deno.symlinkSync(".v1/chain", join(setup.root, "archive/linked.crt"));
    Deno.symlinkSync(".v1/key", join(setup.root, "archive/linked.key"));
    Deno.symlinkSync("..", join(setup.root, "archive/circle"));
    Deno.symlinkSync("nowhere", join(setup.root, "archive/dangling.pem"));
  }
  await setup.look();
  const expected = [...layouts.map(([file, , name]) => `${file}: ${name}`), "both.pem: both.test"];
  const used = setup.used.filter((line) => !line.includes("circle") && !line.includes("linked"));
  assert.deepEqual(used, expected.sort());
  assert.equal(isWindows || setup.used.includes("archive/linked.crt: linked.test"), true);
  assert.deepEqual(setup.folder.certificates.filter(({ fault }) => fault !== undefined), []);
  assert.equal(setup.changes.at(-1)?.length, setup.used.length);
});

Deno.test("a bad file is told once for each change, and the others are used", async () => {
  await using setup = new Setup();
  const good = await testCertificate("good.test");
  setup.write("good.crt", good.certificate);
  setup.write("good.key", good.key);
  setup.write("alone.crt", good.certificate);
  setup.write("wrong.crt", good.certificate);
  setup.write("wrong.key", (await testCertificate("x.test")).key);
  setup.write("garbage.pem", "garbage");
  setup.write("large.pem", "x".repeat(300_000));
  assert.deepEqual((await setup.look()).sort(), [
    "certificate loaded: good.crt",
    ...["alone.crt", "garbage.pem", "large.pem", "wrong.crt"].map((file) => `certificate not used: ${file}`),
  ]);
  for (const { fields } of setup.said.filter(({ event }) => event === "certificate not used")) {
    assert.equal(fields.code, "E6002");
    assert.match(String(fields.reason), new RegExp(`"[^"]*${fields.file}"`));
    assert.equal(fields.hint, undefined);
  }
  assert.match(setup.entry("alone.crt").fault!.message, /there is no key in it or beside it/);
  assert.match(setup.entry("wrong.crt").fault!.message, /does not belong/);
  assert.match(setup.entry("large.pem").fault!.message, /larger than/);
  assert.deepEqual(await setup.look(), []);
  setup.write("garbage.pem", "other garbage");
  assert.deepEqual(await setup.look(), ["certificate not used: garbage.pem"]);
  setup.remove("garbage.pem");
  assert.deepEqual(await setup.look(), []);
  assert.deepEqual(setup.used, ["good.crt: good.test"]);
  assert.equal(setup.changes.length, 1);
});

Deno.test("a half-written pair leaves the last good one in use until it is whole", async () => {
  await using setup = new Setup();
  const [first, second] = [await testCertificate("a.test"), await testCertificate("a.test", "b.test")];
  setup.write("a.crt", first.certificate);
  setup.write("a.key", first.key);
  await setup.look();
  const { pair } = setup.entry("a.crt");
  for (const half of ["", second.certificate.slice(0, 200), second.certificate]) {
    setup.write("a.crt", half);
    assert.deepEqual(await setup.look(), ["certificate not used: a.crt"]);
    assert.equal(setup.said.at(-1)?.fields.hint, "the one before goes on to serve");
    assert.deepEqual(await setup.look(), []);
    assert.equal(setup.entry("a.crt").pair, pair);
  }
  setup.remove("a.key");
  await setup.look();
  assert.equal(setup.entry("a.crt").pair, pair);
  setup.write("a.key", second.key);
  assert.deepEqual(await setup.look(), ["certificate loaded: a.crt"]);
  assert.deepEqual(setup.used, ["a.crt: a.test b.test"]);
  setup.remove("a.crt");
  assert.deepEqual(await setup.look(), ["certificate gone: a.crt"]);
  assert.deepEqual(setup.changes.map((pairs) => pairs.length), [1, 1, 0]);
});

Deno.test("an expired certificate replaces no valid one, and is used when there is nothing else", async () => {
  await using setup = new Setup();
  const start = setup.nowMs;
  const [fresh, old] = [await certificateFrom(start), await certificateFrom(start - 100 * DAY_MS)];
  setup.write("a.pem", old.key + old.certificate);
  assert.deepEqual(await setup.look(), ["certificate loaded: a.pem", "certificate expired: a.pem"]);
  setup.write("a.pem", fresh.key + fresh.certificate);
  assert.deepEqual(await setup.look(), ["certificate loaded: a.pem"]);
  const { pair } = setup.entry("a.pem");
  setup.write("a.pem", old.key + old.certificate);
  assert.deepEqual(await setup.look(), ["certificate not used: a.pem"]);
  assert.equal(setup.entry("a.pem").pair, pair);
  assert.equal(setup.entry("a.pem").fault?.kind, "CERTIFICATE_EXPIRED");
  setup.write("a.pem", fresh.key + fresh.certificate);
  await setup.look();
  setup.nowMs = start + 80 * DAY_MS;
  assert.deepEqual(await setup.look(), ["certificate expires soon: a.pem"]);
  setup.nowMs = start + 90 * DAY_MS;
  assert.deepEqual(await setup.look(), ["certificate expired: a.pem"]);
  assert.deepEqual(await setup.look(), []);
});

Deno.test({
  name: "a key that others can read or write, or that belongs to somebody else, is not used (R15)",
  ignore: isWindows,
  async fn() {
    await using setup = new Setup();
    const { certificate, key } = await testCertificate("a.test");
    setup.write("a.crt", certificate, 0o644);
    for (const [mode, reason] of [[0o644, /everybody may read it/], [0o660, /others may write it/]] as const) {
      setup.write("a.key", key, mode);
      await setup.look();
      assert.match(setup.entry("a.crt").fault!.message, reason);
      assert.match(setup.entry("a.crt").fault!.message, /a\.key.*chmod 600/);
      setup.write("both.pem", certificate + key, mode);
      await setup.look();
      assert.match(setup.entry("both.pem").fault!.message, reason);
    }
    assert.deepEqual(setup.used, []);
    for (const mode of [0o640, 0o400]) {
      setup.write("a.key", key, mode);
      await setup.look();
      assert.deepEqual(setup.used, ["a.crt: a.test"]);
      setup.remove("a.key");
    }
    if (Deno.uid() !== 0) return;
    setup.write("a.key", key);
    Deno.chownSync(join(setup.root, "a.key"), 65_534, 65_534);
    setup.write("a.crt", certificate + "\n", 0o644);
    await setup.look();
    assert.match(setup.entry("a.crt").fault!.message, /belongs to user 65534/);
  },
});

Deno.test("a folder that is not there, or holds too much, cannot be read", async () => {
  await using setup = new Setup();
  const missing = new WatchedCertificates(() => findCertificateFiles(join(setup.root, "no")), { log: SILENT });
  await assert.rejects(missing.look(), isFault(/Cannot read the certificates in ".*no": .*[Nn]o such/));
  for (let index = 0; index <= 10_000; index++) Deno.createSync(join(setup.root, `${index}`)).close();
  await assert.rejects(setup.folder.look(), isFault(/more than 10000 files/));
});

Deno.test("what is deeper than three folders is not looked at", async () => {
  await using setup = new Setup();
  const { certificate, key } = await testCertificate("a.test");
  setup.write("1/2/3/a.pem", certificate + key);
  setup.write("1/2/3/4/b.pem", certificate + key);
  await setup.look();
  assert.deepEqual(setup.used, ["1/2/3/a.pem: a.test"]);
});

Deno.test("watch() uses a new certificate, and keeps all when the folder cannot be read for a while", async () => {
  await using setup = new Setup();
  const { certificate, key } = await testCertificate("a.test");
  await setup.look();
  setup.folder.watch();
  setup.write("a.pem", certificate + key);
  while (setup.changes.length === 0) await new Promise((resolve) => setTimeout(resolve, 5));
  setup.said.length = 0;
  Deno.renameSync(setup.root, setup.root + ".away");
  while (setup.said.length === 0) await new Promise((resolve) => setTimeout(resolve, 5));
  assert.deepEqual(setup.used, ["a.pem: a.test"]);
  Deno.renameSync(setup.root + ".away", setup.root);
  setup.write("b.pem", certificate + key);
  while (setup.changes.length === 1) await new Promise((resolve) => setTimeout(resolve, 5));
  assert.deepEqual(setup.used, ["a.pem: a.test", "b.pem: a.test"]);
  assert.equal(setup.said.filter(({ event }) => event === "certificates not read").length, 1);
});

function isFault(reason: RegExp): (error: unknown) => boolean {
  return (error) => {
    assert.ok(error instanceof CodedError, String(error));
    assert.equal(error.kind, "CERTIFICATE_INVALID");
    assert.match(error.message, reason);
    return true;
  };
}
