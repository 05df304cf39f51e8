import assert from "node:assert/strict";
import { createPrivateKey } from "node:crypto";
import { CodedError, type ErrorName } from "../protocol/errors.ts";
import {
  coverageFault,
  isExpired,
  isNotYetValid,
  readCertificatePair,
  readKeyPair,
  validityFault,
} from "./certificate.ts";
import { testCertificate } from "./testing/certificate.ts";

Deno.test("readCertificatePair() tells names in lower case, the time, and what is covered", async () => {
  const before = Date.now();
  const pair = readCertificatePair(await testCertificate("Blog.Example.test", "*.example.test", "under_score.test"));
  assert.deepEqual(pair.names, ["blog.example.test", "*.example.test"]);
  assert.deepEqual(pair.addresses, []);
  assert.ok(pair.notBefore.getTime() < before && before < pair.notAfter.getTime());
  const covered = ["blog.example.test", "other.example.test", "*.example.test"];
  assert.deepEqual(covered.map((name) => pair.covers(name)), [true, true, true]);
  const others = ["example.test", "a.b.example.test", ".example.test", "", "*.test", "__proto__"];
  assert.deepEqual(others.map((name) => pair.covers(name)), others.map(() => false));
});

Deno.test("context() makes one context, and only when it is asked for", async () => {
  const pair = readCertificatePair(await testCertificate("a.test"));
  assert.equal(pair.context(), pair.context());
});

Deno.test("readCertificatePair() takes one text with chain and key in any order, and sends the whole chain", async () => {
  const { certificate, key, authority } = await testCertificate("a.test");
  const text = `a comment\n${key}\n${certificate}\nanother\n${authority}`;
  const pair = readCertificatePair({ certificate: text, key: text });
  assert.equal(pair.certificate.match(/BEGIN CERTIFICATE/g)?.length, 2);
  assert.ok(!pair.certificate.includes("KEY"));
  assert.ok(!pair.key.includes("CERTIFICATE"));
  assert.deepEqual(pair.names, ["a.test"]);
});

Deno.test("readCertificatePair() says what is wrong with a pair, and what to do", async () => {
  const { certificate, key, authority } = await testCertificate("a.test");
  const other = await testCertificate("a.test");
  const ca = await selfSignedAuthority();
  const locked = createPrivateKey(key)
    .export({ type: "pkcs8", format: "pem", cipher: "aes-256-cbc", passphrase: "x" }).toString();
  const old = key.replaceAll("PRIVATE KEY", "EC PRIVATE KEY")
    .replace("-----\n", "-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\n");
  const damaged = certificate.replace(/\n.{20}/, "\nAAAAAAAAAAAAAAAAAAAA");
  for (
    const [pem, reason] of [
      [{ certificate: "x", key }, /no certificate in PEM/],
      [{ certificate: "", key }, /no certificate in PEM/],
      [{ certificate: key, key }, /no certificate in PEM/],
      [{ certificate: damaged, key }, /it is damaged/],
      [{ certificate: certificate.slice(0, -40), key }, /no certificate in PEM/],
      [{ certificate, key: "x" }, /no private key in PEM/],
      [{ certificate, key: certificate }, /no private key in PEM/],
      [{ certificate, key: key.replace(/\n.{20}/, "\nAAAAAAAAAAAAAAAAAAAA") }, /key is damaged/],
      [{ certificate, key: key + other.key }, /more than one private key/],
      [{ certificate, key: locked }, /has a password/],
      [{ certificate, key: old }, /has a password/],
      [{ certificate, key: other.key }, /does not belong/],
      [{ certificate: authority + certificate, key }, /put the certificate of the key first/],
      [ca, /CA:TRUE/],
    ] as const
  ) assertFault(thrownBy(() => readCertificatePair(pem, '"certs/a.pem"')), "CERTIFICATE_INVALID", reason);
});

Deno.test("readKeyPair() takes an authority too, and refuses a key of another certificate", async () => {
  const ca = await selfSignedAuthority();
  assert.equal(readKeyPair(ca).ca, true);
  const { key } = await testCertificate("a.test");
  assertFault(
    thrownBy(() => readKeyPair({ ...ca, key }, '"certs/a.pem"')),
    "CERTIFICATE_INVALID",
    /does not belong/,
  );
});

Deno.test("validityFault() and coverageFault() tell what a good pair cannot do", async () => {
  const pair = readCertificatePair(await testCertificate("a.test", "*.b.test"));
  const [from, to] = [pair.notBefore.getTime(), pair.notAfter.getTime()];
  assert.deepEqual([isNotYetValid(pair, from - 1), isNotYetValid(pair, from)], [true, false]);
  assert.deepEqual([isExpired(pair, to - 1), isExpired(pair, to)], [false, true]);
  const what = '"certs/a.pem"';
  assert.equal(validityFault(pair), undefined);
  assertFault(validityFault(pair, { what, now: to }), "CERTIFICATE_EXPIRED", /expired on 2/);
  assertFault(validityFault(pair, { what, now: from - 1 }), "CERTIFICATE_EXPIRED", /not valid before 2/);
  assert.equal(coverageFault(pair, "x.b.test"), undefined);
  assertFault(
    coverageFault(pair, "c.test", what),
    "CERTIFICATE_NAME_MISMATCH",
    /for c\.test: it is for a\.test, \*\.b\.test/,
  );
});

function thrownBy(action: () => unknown): unknown {
  try {
    action();
  } catch (error) {
    return error;
  }
  return assert.fail("nothing thrown");
}

function assertFault(error: unknown, kind: ErrorName, reason: RegExp): void {
  assert.ok(error instanceof CodedError, String(error));
  assert.equal(error.kind, kind);
  assert.match(error.message, reason);
  assert.match(error.message, /certs\/a\.pem/);
}

async function selfSignedAuthority(): Promise<{ certificate: string; key: string }> {
  await import("reflect-metadata");
  const x509 = await import("@peculiar/x509");
  const algorithm = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" };
  const keys = await crypto.subtle.generateKey(algorithm, true, ["sign", "verify"]) as CryptoKeyPair;
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    name: "CN=a.test",
    keys,
    signingAlgorithm: algorithm,
    extensions: [new x509.BasicConstraintsExtension(true)],
  });
  const pkcs8 = await crypto.subtle.exportKey("pkcs8", keys.privateKey);
  return { certificate: certificate.toString("pem"), key: x509.PemConverter.encode(pkcs8, "PRIVATE KEY") };
}
