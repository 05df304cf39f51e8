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

Deno.test("a chunk goes back once all of its pieces have come back, whatever their order", () => {
  const { lent, freed } = setUp();
  const chunk = new Uint8Array(CHUNK_BYTES);
  lent.begin(chunk);
  const first = lent.lend(chunk.subarray(4, HALF), false);
  const second = lent.lend(chunk.subarray(HALF), true);
  lent.giveBack(second);
  assert.deepEqual(freed, []);
  lent.giveBack(first);
  assert.deepEqual(freed, [chunk]);
});

Deno.test("a chunk does not go back while more of it is to be read", () => {
  const { lent, freed } = setUp();
  const chunk = new Uint8Array(CHUNK_BYTES);
  lent.begin(chunk);
  lent.giveBack(lent.lend(chunk.subarray(0, HALF), false));
  assert.deepEqual(freed, []);
  lent.begin(new Uint8Array(CHUNK_BYTES));
  assert.deepEqual(freed, [chunk]);
});

Deno.test("a chunk does not go back while a piece of it is held, though the next one is read", () => {
  const { lent, freed } = setUp();
  const chunk = new Uint8Array(CHUNK_BYTES);
  lent.begin(chunk);
  const piece = lent.lend(chunk.subarray(0, HALF), true);
  lent.begin(new Uint8Array(CHUNK_BYTES));
  assert.deepEqual(freed, []);
  lent.giveBack(piece);
  assert.deepEqual(freed, [chunk]);
});

Deno.test("a small piece is a copy, so that its holder does not hold the chunk", () => {
  const { lent, freed } = setUp();
  const chunk = new Uint8Array(CHUNK_BYTES).fill(7);
  lent.begin(chunk);
  const piece = lent.lend(chunk.subarray(0, 100), true);
  lent.begin(new Uint8Array(CHUNK_BYTES));
  assert.deepEqual(freed, [chunk]);
  chunk.fill(0);
  assert.deepEqual(piece, new Uint8Array(100).fill(7));
});

Deno.test("pieces that never come back are forgotten, and so are their chunks", () => {
  const { lent, freed } = setUp();
  const chunks = Array.from({ length: 100 }, () => new Uint8Array(CHUNK_BYTES));
  const pieces = chunks.map((chunk) => {
    lent.begin(chunk);
    return lent.lend(chunk.subarray(0, HALF), true);
  });
  for (const piece of pieces) lent.giveBack(piece);
  assert.equal(freed.length, 4);
});
