import assert from "node:assert/strict";
import { ProtocolError, StreamResetError } from "../protocol/errors.ts";
import { OPCODE, type Opcode } from "../protocol/frame.ts";
import { MAX_CONTROL_FRAMES_PER_S } from "../protocol/limits.ts";
import { PingPong } from "./ping_pong.ts";

const NOTHING = new Uint8Array(0);

/** What was written, and a write that may be held. */
class Wire {
  readonly written: string[] = [];
  failed = 0;
  hold: Promise<void> | undefined;
  readonly pingPong = new PingPong({
    write: (opcode: Opcode, payload) => {
      this.written.push(`${opcode === OPCODE.ping ? "ping" : "pong"}${payload.join("")}`);
      return this.hold;
    },
    onFailed: () => this.failed++,
  });
}

Deno.test("a ping is answered with its payload, a pong with nothing", async () => {
  const { pingPong, written } = new Wire();
  pingPong.take(OPCODE.ping, Uint8Array.of(1, 2));
  await Promise.resolve();
  pingPong.take(OPCODE.pong, NOTHING);
  assert.deepEqual(written, ["pong12"]);
});

Deno.test("while one waits to be written, only the latest pong follows, and no ping", async () => {
  const wire = new Wire();
  const { promise, resolve } = Promise.withResolvers<void>();
  wire.hold = promise;
  const first = wire.pingPong.ping();
  for (const n of [1, 2, 3]) wire.pingPong.take(OPCODE.ping, Uint8Array.of(n));
  assert.equal(wire.pingPong.ping(), first);
  wire.hold = undefined;
  resolve();
  await first;
  assert.deepEqual(wire.written, ["ping", "pong3"]);
  await wire.pingPong.ping();
  assert.deepEqual(wire.written, ["ping", "pong3", "ping"]);
});

Deno.test("more frames than a second has room for are a violation, answers to our pings are not counted", async () => {
  const { pingPong } = new Wire();
  for (let i = 0; i < 200; i++) {
    await pingPong.ping();
    pingPong.take(OPCODE.pong, NOTHING);
  }
  assert.throws(() => {
    for (let i = 0; i < 3 * MAX_CONTROL_FRAMES_PER_S; i++) pingPong.take(OPCODE.pong, NOTHING);
  }, ProtocolError);
});

Deno.test("silence gives credit for what piled up, once", () => {
  const { pingPong } = new Wire();
  pingPong.noteSilence(500_000);
  pingPong.noteSilence(1_000);
  for (let i = 0; i < 500; i++) pingPong.take(OPCODE.ping, NOTHING);
  assert.throws(() => {
    for (let i = 0; i < 3 * MAX_CONTROL_FRAMES_PER_S; i++) pingPong.take(OPCODE.ping, NOTHING);
  }, ProtocolError);
});

Deno.test("what cannot be written is told once, and to who asked for a ping", async () => {
  const wire = new Wire();
  wire.hold = Promise.reject(new StreamResetError());
  await assert.rejects(() => wire.pingPong.ping(), StreamResetError);
  await assert.rejects(() => wire.pingPong.ping(), StreamResetError);
  wire.pingPong.take(OPCODE.ping, NOTHING);
  assert.deepEqual([wire.written, wire.failed], [["ping"], 1]);
});
