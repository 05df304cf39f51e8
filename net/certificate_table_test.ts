import assert from "node:assert/strict";
import { type CertificatePair, readCertificatePair } from "./certificate.ts";
import { CertificateTable } from "./certificate_table.ts";
import { testCertificate } from "./testing/certificate.ts";

const HOUR_MS = 3_600_000;
const NOW = Date.now();

async function pairFor(...names: string[]): Promise<CertificatePair> {
  return readCertificatePair(await testCertificate(...names));
}

/** The pair with another end; what it is for stays. */
function until(pair: CertificatePair, notAfter: number): CertificatePair {
  return {
    ...pair,
    notAfter: new Date(notAfter),
    notBefore: new Date(0),
    covers: () => true,
    context: () => pair.context(),
  };
}

Deno.test("lookup() finds the exact name, then the wildcard of one label", async () => {
  const table = new CertificateTable(["folder"]);
  const [exact, wildcard] = await Promise.all([pairFor("a.example.test"), pairFor("*.example.test", "example.test")]);
  table.set("folder", [wildcard, exact]);
  for (
    const [name, expected] of [
      ["a.example.test", exact],
      ["b.example.test", wildcard],
      ["example.test", wildcard],
      ["a.b.example.test", undefined],
      ["other.test", undefined],
      ["test", undefined],
      ["", undefined],
      [".", undefined],
      ["*.test", undefined],
      ["__proto__", undefined],
    ] as const
  ) assert.equal(table.lookup(name), expected, name);
});

Deno.test("the source named first wins, also with a wildcard over an exact name", async () => {
  const table = new CertificateTable(["folder", "acme"]);
  const [own, acme] = await Promise.all([pairFor("*.example.test"), pairFor("a.example.test")]);
  table.set("acme", [acme]);
  assert.equal(table.lookup("a.example.test"), acme);
  table.set("folder", [own]);
  assert.equal(table.lookup("a.example.test"), own);
  assert.equal(table.lookup("a.example.test", { sources: ["acme"] }), acme);
  table.set("folder", []);
  assert.equal(table.lookup("a.example.test"), acme);
});

Deno.test("a valid certificate wins over an expired one of a source above it, and an expired one over none", async () => {
  const table = new CertificateTable(["folder", "acme"]);
  const pair = await pairFor("a.example.test");
  const expired = until(pair, NOW - HOUR_MS);
  const valid = until(pair, NOW + HOUR_MS);
  table.set("folder", [expired]);
  assert.equal(table.lookup("a.example.test", { now: NOW }), expired);
  table.set("acme", [valid]);
  assert.equal(table.lookup("a.example.test", { now: NOW }), valid);
  assert.equal(table.lookup("a.example.test", { now: NOW + 2 * HOUR_MS }), expired);
});

Deno.test("of two certificates of one source the one that lasts longer is used, once it has begun", async () => {
  const table = new CertificateTable(["folder"]);
  const pair = await pairFor("a.example.test");
  const short = until(pair, NOW + HOUR_MS);
  const long = { ...until(pair, NOW + 9 * HOUR_MS), notBefore: new Date(NOW + 1) };
  table.set("folder", [short, long]);
  assert.equal(table.lookup("a.example.test", { now: NOW }), short);
  assert.equal(table.lookup("a.example.test", { now: NOW + 1 }), long);
});
