import assert from "node:assert/strict";
import { StreamResetError } from "../protocol/errors.ts";
import { memoryPair } from "./memory_duplex.ts";

const BYTES = new Uint8Array([1, 2, 3, 4, 5]);

Deno.test("memoryPair() carries bytes both ways and each end by itself (half-close)", async () => {
  const [a, b] = memoryPair();
  await a.write(BYTES);
  await a.closeWrite();
  assert.deepEqual(await b.read(), BYTES);
  assert.equal(await b.read(), null);
  await b.write(BYTES);
  assert.deepEqual(await a.read(), BYTES);
  await b.closeWrite();
  assert.equal(await a.read(), null);
  await Promise.all([a.closed, b.closed]);
});

Deno.test("memoryPair() makes a writer wait for a slow reader", async () => {
  const [a, b] = memoryPair({ highWaterMark: 2 });
  let written = false;
  const writing = Promise.resolve(a.write(BYTES)).then(() => written = true);
  assert.deepEqual(await b.read(), new Uint8Array([1, 2]));
  assert.equal(written, false);
  assert.deepEqual(await b.read(), new Uint8Array([3, 4]));
  await writing;
  assert.deepEqual(await b.read(), new Uint8Array([5]));
});

Deno.test("memoryPair() makes bytes unusable at the next read", async () => {
  const [a, b] = memoryPair({ maxRead: 3 });
  await a.write(BYTES);
  const first = await b.read();
  assert.deepEqual(first, new Uint8Array([1, 2, 3]));
  assert.deepEqual(await b.read(), new Uint8Array([4, 5]));
  assert.deepEqual(first, new Uint8Array(3).fill(0xdb));
});

Deno.test("memoryPair() leaves bytes as they are when it is told so", async () => {
  const [a, b] = memoryPair({ maxRead: 3, keep: true });
  await a.write(BYTES);
  const first = await b.read();
  await b.read();
  assert.deepEqual(first, new Uint8Array([1, 2, 3]));
});

Deno.test("memoryPair() does not keep the writer's buffer", async () => {
  const [a, b] = memoryPair();
  const buffer = BYTES.slice();
  await a.write(buffer);
  buffer.fill(9);
  assert.deepEqual(await b.read(), BYTES);
});

Deno.test("reset() fails what waits and what comes, on both sides, and drops unread bytes", async () => {
  const [a, b] = memoryPair({ highWaterMark: 1 });
  const writing = assert.rejects(Promise.resolve(a.write(BYTES)), StreamResetError);
  const reading = assert.rejects(Promise.resolve(a.read()), StreamResetError);
  b.reset();
  await Promise.all([writing, reading, a.closed, b.closed]);
  assert.throws(() => a.read(), StreamResetError);
  assert.throws(() => b.write(BYTES), StreamResetError);
});

Deno.test("close() before both ends is a reset, after them nothing is lost", async () => {
  const [a, b] = memoryPair();
  await a.write(BYTES);
  a.close();
  assert.throws(() => b.read(), StreamResetError);

  const [c, d] = memoryPair();
  await d.closeWrite();
  await c.write(BYTES);
  await c.closeWrite();
  c.close();
  assert.deepEqual(await d.read(), BYTES);
  assert.equal(await d.read(), null);
});

Deno.test("memoryPair() refuses a second read and a second write at once", async () => {
  const [a, b] = memoryPair({ highWaterMark: 1 });
  const reading = b.read();
  assert.throws(() => b.read(), TypeError);
  const writing = a.write(BYTES);
  assert.throws(() => a.write(BYTES), TypeError);
  assert.deepEqual(await reading, new Uint8Array([1]));
  for (let i = 1; i < 5; i++) await b.read();
  await writing;
});
