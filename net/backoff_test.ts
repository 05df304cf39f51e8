import assert from "node:assert/strict";
import { backoffMs } from "./backoff.ts";

Deno.test("backoffMs() doubles from 250 ms to 15 s", () => {
  const longest = Array.from({ length: 9 }, (_, attempt) => backoffMs(attempt, () => 1));
  assert.deepEqual(longest, [250, 500, 1_000, 2_000, 4_000, 8_000, 15_000, 15_000, 15_000]);
  assert.equal(backoffMs(1_000_000, () => 1), 15_000);
});

Deno.test("backoffMs() is spread over the whole time, so that thousands do not come back at once", () => {
  assert.equal(backoffMs(3, () => 0), 0);
  assert.equal(backoffMs(3, () => 0.5), 1_000);
  const waits = new Set(Array.from({ length: 100 }, () => backoffMs(10)));
  assert.ok(waits.size > 90);
});
