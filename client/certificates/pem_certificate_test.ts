import assert from "node:assert/strict";
import { join } from "node:path";
import { type TestCertificate, testCertificate } from "../../net/testing/certificate.ts";
import { PemCertificate } from "./pem_certificate.ts";

const DOMAIN = "blog.example.com";

interface Files extends AsyncDisposable {
  readonly check: PemCertificate;
  readonly replaced: string[];
  write(pair: Partial<Pick<TestCertificate, "certificate" | "key">>, options?: { mode?: number }): Promise<void>;
  /** Removes the certificate. */
  remove(): Promise<void>;
  /** Looks, and gives what is wrong. */
  fault(): Promise<string | undefined>;
}

async function files(): Promise<Files> {
  const folder = await Deno.makeTempDir();
  const certificateFile = join(folder, "chain.pem");
  const keyFile = join(folder, "key.pem");
  const replaced: string[] = [];
  const check = new PemCertificate({
    ...{ certificateFile, keyFile, domain: DOMAIN },
    onReplaced: (domain) => replaced.push(domain),
  });
  return {
    ...{ check, replaced },
    async write({ certificate, key }, { mode = 0o600 } = {}) {
      if (certificate !== undefined) await Deno.writeTextFile(certificateFile, certificate);
      if (key === undefined) return;
      await Deno.writeTextFile(keyFile, key);
      await Deno.chmod(keyFile, mode);
    },
    remove: () => Deno.remove(certificateFile),
    async fault() {
      await check.look();
      return check.fault?.message;
    },
    [Symbol.asyncDispose]: () => Deno.remove(folder, { recursive: true }),
  };
}

Deno.test("files that cannot be used keep a rule closed, until they can", async () => {
  await using all = await files();
  const good = await testCertificate(DOMAIN);
  const other = await testCertificate("other.example.com");
  assert.match(await all.fault() ?? "", /chain\.pem.*does not exist/);
  await all.write(good, { mode: 0o644 });
  assert.match(await all.fault() ?? "", /key\.pem.*others may open it; run chmod 600/);
  await all.write({ key: other.key });
  assert.match(await all.fault() ?? "", /the key does not belong to it/);
  await all.write(other);
  assert.match(await all.fault() ?? "", /for blog\.example\.com: it is for other\.example\.com/);
  await all.write({ certificate: "nonsense" });
  assert.match(await all.fault() ?? "", /holds no certificate/);
  await all.write({ certificate: "x".repeat(300_000) });
  assert.match(await all.fault() ?? "", /larger than/);
  assert.ok(all.check.pair === undefined);
  await all.write(good);
  assert.equal(await all.fault(), undefined);
  assert.deepEqual((all.check as PemCertificate).pair?.names, [DOMAIN]);
  assert.deepEqual([all.check.warning, all.replaced], [undefined, []]);
});

Deno.test("a key that a group was given on purpose can be used", async () => {
  await using all = await files();
  await all.write(await testCertificate(DOMAIN), { mode: 0o640 });
  assert.equal(await all.fault(), undefined);
});

Deno.test("an edit takes the place of the files before, and is told", async () => {
  await using all = await files();
  await all.write(await testCertificate(DOMAIN));
  await all.fault();
  const before = all.check.pair;
  const renewed = await testCertificate(DOMAIN);
  await all.write(renewed);
  assert.equal(await all.fault(), undefined);
  assert.notEqual(all.check.pair, before);
  assert.equal(all.check.pair?.certificate.trim(), renewed.certificate.trim());
  assert.deepEqual(all.replaced, [DOMAIN]);
});

Deno.test("an edit that cannot be used changes nothing, and is told when it stays", async () => {
  await using all = await files();
  await all.write(await testCertificate(DOMAIN));
  await all.fault();
  const { pair } = all.check;
  const renewed = await testCertificate(DOMAIN);
  await all.write({ certificate: renewed.certificate });
  // In the middle of the replacement of two files nothing is wrong yet.
  assert.equal(await all.fault(), undefined);
  assert.equal(all.check.warning, undefined);
  const reasonOf = async (): Promise<string> => {
    for (let look = 0; look < 3; look++) assert.equal(await all.fault(), undefined);
    assert.equal(all.check.pair, pair);
    return all.check.warning?.message ?? "";
  };
  assert.match(await reasonOf(), /the key does not belong to it.*; the certificate from before goes on to serve$/);
  await all.write(renewed, { mode: 0o644 });
  assert.match(await reasonOf(), /key\.pem.*others may open it; run chmod 600; the certificate from before/);
  await all.write({ certificate: "nonsense", key: renewed.key });
  assert.match(await reasonOf(), /holds no certificate/);
  await all.remove();
  assert.match(await reasonOf(), /chain\.pem.*does not exist/);
  await all.write(renewed);
  await all.fault();
  assert.notEqual(all.check.pair, pair);
  assert.equal(all.check.warning, undefined);
});

Deno.test("a certificate that has expired keeps a rule closed", async () => {
  await using all = await files();
  await all.write(await testCertificate(DOMAIN));
  const { now } = Date;
  Date.now = () => now() + 2 * 86_400_000;
  try {
    assert.match(await all.fault() ?? "", /it expired on/);
  } finally {
    Date.now = now;
  }
  // The clock was wrong: no file has changed, and it can be used all the same.
  assert.equal(await all.fault(), undefined);
});
