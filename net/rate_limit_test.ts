import assert from "node:assert/strict";
import { RateLimit } from "./rate_limit.ts";

Deno.test("RateLimit gives each second its share and no more", () => {
  const limit = new RateLimit(100);
  const started = performance.now();
  let taken = 0;
  let refused = 0;
  for (let i = 0; i < 10_000; i++) {
    if (limit.take()) taken++;
    else refused++;
  }
  const seconds = Math.floor(performance.now() / 1000) - Math.floor(started / 1000) + 1;
  assert.ok(taken >= 100 && taken <= 100 * seconds, `${taken} in ${seconds} seconds`);
  assert.equal(taken + refused, 10_000);
});

Deno.test("RateLimit of nothing gives nothing", () => {
  assert.equal(new RateLimit(0).take(), false);
});
