import assert from "node:assert/strict";
import { renewalTime, retryDelayMs, suggestedTime } from "./renewal.ts";

const DAY_MS = 86_400_000;

function lifetime(days: number): { notBefore: Date; notAfter: Date } {
  return { notBefore: new Date(0), notAfter: new Date(days * DAY_MS) };
}

Deno.test("renewalTime() leaves a third of the lifetime, and half of one below 10 days", () => {
  assert.equal(renewalTime(lifetime(90)), 60 * DAY_MS);
  assert.equal(renewalTime(lifetime(45)), 30 * DAY_MS);
  assert.equal(renewalTime(lifetime(6)), 3 * DAY_MS);
});

Deno.test("suggestedTime() draws from the CA's window, but leaves a tenth of the lifetime", () => {
  const window = { start: new Date(40 * DAY_MS), end: new Date(50 * DAY_MS) };
  assert.equal(suggestedTime(window, lifetime(90), () => 0), 40 * DAY_MS);
  assert.equal(suggestedTime(window, lifetime(90), () => 0.5), 45 * DAY_MS);
  assert.equal(
    suggestedTime({ start: new Date(100 * DAY_MS), end: new Date(110 * DAY_MS) }, lifetime(90)),
    81 * DAY_MS,
  );
});

Deno.test("retryDelayMs() climbs to a day and stays there, and is never shorter than the CA asks", () => {
  const minutes = Array.from({ length: 9 }, (_, index) => retryDelayMs(index + 1, { random: () => 0 }) / 60_000);
  assert.deepEqual(minutes, [1, 5, 15, 60, 240, 720, 1440, 1440, 1440]);
  assert.equal(retryDelayMs(1, { random: () => 1 }), 75_000);
  assert.equal(retryDelayMs(1, { retryAfterMs: 7_200_000, random: () => 0 }), 7_200_000);
  assert.equal(retryDelayMs(4, { retryAfterMs: 1_000, random: () => 0 }), 3_600_000);
});
