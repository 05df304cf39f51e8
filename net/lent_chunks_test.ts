import assert from "node:assert/strict";
import type { Duplex } from "./duplex.ts";
import { LentChunks } from "./lent_chunks.ts";

const CHUNK_BYTES = 64 * 1024;
const HALF = CHUNK_BYTES / 2;

function setUp(): { lent: LentChunks; freed: Uint8Array[] } {
  const freed: Uint8Array[] = [];
  const owner = { reuse: (bytes: Uint8Array) => void freed.push(bytes) } as Pick<Duplex, "reuse"> as Duplex;
  return { lent: new LentChunks(owner), freed };
}

function lend(lent: LentChunks, piece: Uint8Array, last: boolean): Uint8Array {
  lent.lend(piece, last);
  return piece;
}

Deno.test("a small chunk is left to the garbage collector", () => {
  const { lent, freed } = setUp();
  const chunk = new Uint8Array(100);
  lent.begin(chunk);
  lent.giveBack(lend(lent, chunk, true));
  lent.begin(new Uint8Array(CHUNK_BYTES));
  assert.deepEqual(freed, []);
});

Deno.test("a chunk goes back once all of its pieces have come back, whatever their order", () => {
  const { lent, freed } = setUp();
  const chunk = new Uint8Array(CHUNK_BYTES);
  lent.begin(chunk);
  const first = lend(lent, chunk.subarray(4, HALF), false);
  const second = lend(lent, chunk.subarray(HALF), true);
  lent.giveBack(second);
  assert.deepEqual(freed, []);
  lent.giveBack(first);
  assert.deepEqual(freed, [chunk]);
});

Deno.test("a chunk does not go back while more of it is to be read", () => {
  const { lent, freed } = setUp();
  const chunk = new Uint8Array(CHUNK_BYTES);
  lent.begin(chunk);
  lent.giveBack(lend(lent, chunk.subarray(0, HALF), false));
  assert.deepEqual(freed, []);
  lent.begin(new Uint8Array(CHUNK_BYTES));
  assert.deepEqual(freed, [chunk]);
});

Deno.test("a chunk does not go back while a piece of it is held, though the next one is read", () => {
  const { lent, freed } = setUp();
  const chunk = new Uint8Array(CHUNK_BYTES);
  lent.begin(chunk);
  const piece = lend(lent, chunk.subarray(0, HALF), true);
  lent.begin(new Uint8Array(CHUNK_BYTES));
  assert.deepEqual(freed, []);
  lent.giveBack(piece);
  assert.deepEqual(freed, [chunk]);
});

Deno.test("pieces that never come back are forgotten, and so are their chunks", () => {
  const { lent, freed } = setUp();
  const chunks = Array.from({ length: 100 }, () => new Uint8Array(CHUNK_BYTES));
  const pieces = chunks.map((chunk) => {
    lent.begin(chunk);
    return lend(lent, chunk.subarray(0, HALF), true);
  });
  for (const piece of pieces) lent.giveBack(piece);
  assert.equal(freed.length, 4);
});
