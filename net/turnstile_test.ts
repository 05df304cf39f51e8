import assert from "node:assert/strict";
import { CodedError } from "../protocol/errors.ts";
import { Turnstile } from "./turnstile.ts";

function turnstile(options: { perSecond: number; queue: number; waitMs?: number }): Turnstile {
  return new Turnstile({ waitMs: 10_000, refusal: () => new CodedError("TUNNEL_BUSY"), ...options });
}

Deno.test("a burst waits for the next seconds, in order", async () => {
  const gate = turnstile({ perSecond: 2, queue: 10 });
  const passed: number[] = [];
  const seconds: number[] = [];
  await Promise.all([0, 1, 2, 3, 4, 5].map(async (each) => {
    await gate.pass();
    passed.push(each);
    seconds.push(Math.floor(performance.now() / 1000));
  }));
  assert.deepEqual(passed, [0, 1, 2, 3, 4, 5]);
  for (const second of seconds) assert.ok(seconds.filter((each) => each === second).length <= 2);
});

Deno.test("those beyond the queue are turned away at once", async () => {
  const gate = turnstile({ perSecond: 1, queue: 1 });
  // The second may change between two calls: fill it until one has to wait.
  let waiting = gate.pass();
  while (waiting === undefined) waiting = gate.pass();
  assert.throws(() => gate.pass(), { kind: "TUNNEL_BUSY" });
  await waiting;
});

Deno.test("who waited too long is turned away", async () => {
  const gate = turnstile({ perSecond: 0, queue: 5, waitMs: 0 });
  await assert.rejects(async () => await gate.pass(), { kind: "TUNNEL_BUSY" });
});

Deno.test("end() turns everybody away", async () => {
  const gate = turnstile({ perSecond: 0, queue: 5 });
  const refused = assert.rejects(async () => await gate.pass(), { kind: "TUNNEL_OFFLINE" });
  gate.end(new CodedError("TUNNEL_OFFLINE"));
  await refused;
});
