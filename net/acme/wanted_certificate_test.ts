import assert from "node:assert/strict";
import type { CertificatePair } from "../certificate.ts";
import { WantedCertificate } from "./wanted_certificate.ts";

const ORDER = { names: ["a.example.com"], challenge: ["http-01"] } as const;
const SECOND_MS = 1_000;
const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
const NOW = Date.UTC(2026, 0, 1);

/** All that counts here of a certificate. */
function pair(notBefore: number, notAfter: number): CertificatePair {
  return { notBefore: new Date(notBefore), notAfter: new Date(notAfter) } as CertificatePair;
}

Deno.test("a certificate is due with a third of its lifetime left, a stored one that is late at once", () => {
  const wanted = new WantedCertificate(ORDER);
  wanted.isIssued(pair(NOW, NOW + 90 * DAY_MS), NOW);
  assert.equal(wanted.dueAt, NOW + 60 * DAY_MS);
  const late = new WantedCertificate(ORDER);
  late.isStored(pair(NOW - 70 * DAY_MS, NOW + 20 * DAY_MS), NOW);
  assert.ok(late.dueAt <= NOW);
});

Deno.test("a new certificate rests, whatever the clock and the CA say", () => {
  const wanted = new WantedCertificate(ORDER);
  // By a clock that is seventy days ahead it is late already.
  wanted.isIssued(pair(NOW - 70 * DAY_MS, NOW + 20 * DAY_MS), NOW);
  assert.equal(wanted.dueAt, NOW + HOUR_MS);
  const window = { start: new Date(NOW - DAY_MS), end: new Date(NOW) };
  wanted.advised({ window, askAgainMs: HOUR_MS }, NOW);
  assert.equal(wanted.dueAt, NOW + HOUR_MS);
});

Deno.test("a certificate of a minute is renewed in time all the same", () => {
  const wanted = new WantedCertificate(ORDER);
  wanted.isIssued(pair(NOW, NOW + 60 * SECOND_MS), NOW);
  assert.equal(wanted.dueAt, NOW + 30 * SECOND_MS);
});

Deno.test("who is not wanted for a while waits as long as before, and asks at once when a person says so", () => {
  const wanted = new WantedCertificate(ORDER);
  wanted.isMissing(NOW);
  assert.equal(wanted.dueAt, NOW);
  assert.equal(wanted.failed, undefined);
  const retryAt = wanted.hasFailed(NOW, undefined);
  assert.ok(retryAt > NOW);
  const again = new WantedCertificate(ORDER, wanted.failed);
  again.isMissing(NOW + 1);
  assert.equal(again.dueAt, retryAt);
  assert.ok(again.hasFailed(retryAt, undefined) - retryAt >= 5 * 60 * SECOND_MS, "it is the second step of the ladder");
  again.hurry(NOW);
  assert.equal(again.dueAt, NOW);
});

Deno.test("a clock that is set back makes nothing wait for the time that it was ahead", () => {
  const ahead = 100 * DAY_MS;
  const waiting = new WantedCertificate(ORDER);
  waiting.isMissing(NOW + ahead);
  const retryAt = waiting.hasFailed(NOW + ahead, undefined);
  waiting.clockSetBack(ahead, NOW);
  assert.equal(waiting.dueAt, retryAt - ahead);
  const has = new WantedCertificate(ORDER);
  has.isIssued(pair(NOW, NOW + 90 * DAY_MS), NOW + ahead);
  has.clockSetBack(ahead, NOW);
  assert.equal(has.dueAt, NOW + 60 * DAY_MS);
  assert.ok(has.askAt <= NOW);
});
