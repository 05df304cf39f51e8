import assert from "node:assert/strict";
import { CodedError } from "../protocol/errors.ts";
import { Penalties } from "./penalties.ts";

function setUp(): { penalties: Penalties; clock: { now: number }; isFree: (address: string) => boolean } {
  const clock = { now: 1_000_000 };
  const penalties = new Penalties({ now: () => clock.now });
  function isFree(address: string): boolean {
    try {
      penalties.assertNone(address);
      return true;
    } catch (error) {
      assert.ok(error instanceof CodedError && error.kind === "TOO_MANY_ATTEMPTS", String(error));
      return false;
    }
  }
  return { penalties, clock, isFree };
}

Deno.test("a few wrong credentials cost nothing, many cost time", () => {
  const { penalties, clock, isFree } = setUp();
  for (let count = 0; count < 2; count++) penalties.add("192.0.2.1");
  assert.ok(isFree("192.0.2.1"));
  for (let count = 0; count < 2; count++) penalties.add("192.0.2.1");
  assert.ok(!isFree("192.0.2.1"));
  assert.ok(isFree("192.0.2.2"), "others do not pay");
  clock.now += 5_001;
  assert.ok(isFree("192.0.2.1"), "below 15 s again");
});

Deno.test("a penalty grows to ten minutes and no further, and ends", () => {
  const { penalties, clock, isFree } = setUp();
  for (let count = 0; count < 10_000; count++) penalties.add("192.0.2.1");
  clock.now += 584_999;
  assert.ok(!isFree("192.0.2.1"));
  clock.now += 2;
  assert.ok(isFree("192.0.2.1"));
});

Deno.test("a whole IPv6 /64 pays for one of its addresses", () => {
  const { penalties, isFree } = setUp();
  for (let count = 0; count < 4; count++) penalties.add(`2001:db8::${count}`);
  assert.ok(!isFree("2001:db8::ffff"));
  assert.ok(isFree("2001:db8:0:1::1"));
});

Deno.test("an attacker with many addresses makes us forget the oldest, not grow", () => {
  const { penalties, isFree } = setUp();
  for (let count = 0; count < 10; count++) penalties.add("192.0.2.1");
  for (let count = 0; count < 10_000; count++) penalties.add(`10.${count >> 16}.${(count >> 8) & 255}.${count & 255}`);
  assert.ok(isFree("192.0.2.1"));
  for (let count = 0; count < 4; count++) penalties.add("10.0.39.15");
  assert.ok(!isFree("10.0.39.15"), "the newest are remembered");
});

Deno.test("assertNone() says how long to wait", () => {
  const { penalties } = setUp();
  for (let count = 0; count < 5; count++) penalties.add("192.0.2.1");
  assert.throws(() => penalties.assertNone("192.0.2.1"), /192\.0\.2\.1: wait 11 s/);
});

Deno.test("as many wrong credentials cost nothing as are tolerated", () => {
  const penalties = new Penalties({ now: () => 0, tolerated: 20 });
  for (let count = 0; count < 20; count++) penalties.add("192.0.2.1");
  penalties.assertNone("192.0.2.1");
  penalties.add("192.0.2.1");
  assert.throws(() => penalties.assertNone("192.0.2.1"), { kind: "TOO_MANY_ATTEMPTS" });
});
