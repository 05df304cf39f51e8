import assert from "node:assert/strict";
import { StreamResetError } from "../protocol/errors.ts";
import type { Duplex } from "./duplex.ts";
import { memoryPair } from "./memory_duplex.ts";
import { pipe, type PipeOptions } from "./pipe.ts";
import { connPair, tcpPair } from "./testing/socket_pairs.ts";

const LONG_MS = 60_000;
const BYTES = new Uint8Array([1, 2, 3]);

interface Piped {
  /** Who is at the upstream end, and at the downstream end. */
  up: Duplex;
  down: Duplex;
  done: Promise<void>;
}

function piped(options: Partial<PipeOptions> = {}): Piped {
  const [up, upstream] = memoryPair();
  const [downstream, down] = memoryPair();
  return { up, down, done: pipe(upstream, downstream, { lingerMs: LONG_MS, ...options }) };
}

async function readAll(duplex: Duplex): Promise<number> {
  let bytes = 0;
  for (let piece = await duplex.read(); piece !== null; piece = await duplex.read()) bytes += piece.length;
  return bytes;
}

Deno.test("pipe() passes on bytes and ends in both directions, and closes both sides", async () => {
  const counts = { up: 0, down: 0 };
  const { up, down, done } = piped({ onBytes: (count, direction) => counts[direction] += count });
  await up.write(BYTES);
  await up.closeWrite();
  assert.deepEqual(await down.read(), BYTES);
  assert.equal(await down.read(), null);
  // Half-closed: the other direction goes on.
  await down.write(BYTES.subarray(1));
  assert.deepEqual(await up.read(), BYTES.subarray(1));
  await down.closeWrite();
  assert.equal(await up.read(), null);
  await done;
  assert.deepEqual(counts, { up: 3, down: 2 });
  await Promise.all([up.closed, down.closed]);
});

for (const side of ["up", "down"] as const) {
  Deno.test(`pipe() passes a reset of the ${side} side on to the other, and fails`, async () => {
    const { done, ...ends } = piped();
    const other = side === "up" ? ends.down : ends.up;
    const failing = assert.rejects(done, StreamResetError);
    const reading = assert.rejects(async () => await other.read(), StreamResetError);
    ends[side].reset();
    await Promise.all([failing, reading]);
    await Promise.all([ends.up.closed, ends.down.closed]);
  });

  Deno.test(`pipe() passes on a reset of the ${side} side after the other direction has ended`, async () => {
    const { done, ...ends } = piped();
    const other = side === "up" ? ends.down : ends.up;
    const failing = assert.rejects(done, StreamResetError);
    await other.closeWrite();
    assert.equal(await ends[side].read(), null);
    const reading = assert.rejects(async () => await other.read(), StreamResetError);
    ends[side].reset();
    await Promise.all([failing, reading]);
  });
}

Deno.test("pipe() resets both when after one end the other is silent", async () => {
  const { up, down, done } = piped({ lingerMs: 1 });
  const failing = assert.rejects(done, StreamResetError);
  await up.closeWrite();
  await assert.rejects(() => readAll(up), StreamResetError);
  await assert.rejects(() => readAll(down), StreamResetError);
  await failing;
});

Deno.test("pipe() leaves a silent pair alone while neither has ended", async () => {
  const { up, down, done } = piped({ lingerMs: 1 });
  await new Promise((resolve) => setTimeout(resolve, 600)); // Deadlines are looked at four times a second.
  await up.write(BYTES);
  assert.deepEqual(await down.read(), BYTES);
  await Promise.all([up.closeWrite(), down.closeWrite()]);
  assert.deepEqual(await Promise.all([readAll(up), readAll(down)]), [0, 0]);
  await done;
});

Deno.test("pipe() holds a sender back while the receiver does not read", async () => {
  const [up, upstream] = memoryPair({ highWaterMark: 1000 });
  const [downstream, down] = memoryPair({ highWaterMark: 1000 });
  const done = pipe(upstream, downstream, { lingerMs: LONG_MS });
  let accepted = 0;
  const writing = (async () => {
    for (let i = 0; i < 100; i++) {
      await up.write(new Uint8Array(1000));
      accepted++;
    }
    await up.closeWrite();
  })();
  for (let i = 0; i < 20; i++) await new Promise((resolve) => setTimeout(resolve, 0));
  assert.ok(accepted < 10, `${accepted}`);
  assert.equal(await readAll(down), 100_000);
  await down.closeWrite();
  assert.equal(await readAll(up), 0);
  await Promise.all([writing, done]);
});

Deno.test("pipe() joins different kinds of connections without losing a byte", async () => {
  const [up, upstream] = await tcpPair();
  const [downstream, down] = await connPair();
  const done = pipe(upstream, downstream, { lingerMs: LONG_MS });
  async function send(duplex: Duplex): Promise<void> {
    for (let i = 0; i < 50; i++) await duplex.write(new Uint8Array(100_000));
    await duplex.closeWrite();
  }
  const [, , seenDown, seenUp] = await Promise.all([send(up), send(down), readAll(down), readAll(up)]);
  assert.deepEqual([seenDown, seenUp], [5_000_000, 5_000_000]);
  await done;
  up.close();
  down.close();
  await Promise.all([up.closed, down.closed, upstream.closed, downstream.closed]);
});
