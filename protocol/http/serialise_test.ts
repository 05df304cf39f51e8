import assert from "node:assert/strict";
import { CHUNK_OVERHEAD_BYTES, LAST_CHUNK, lastChunkText, writeChunk } from "./chunk_encoder.ts";
import { Fields } from "./field.ts";
import { latin1, writeLatin1 } from "./latin1.ts";
import { latin1Bytes, requestHeadText, responseHeadText } from "./serialise.ts";

Deno.test("writeLatin1() writes a head in place and leaves the room in front alone", () => {
  const into = new Uint8Array(200).fill(7);
  const fields = new Fields([{ name: "Host", value: "a.example" }]);
  const end = writeLatin1(requestHeadText({ method: "GET", target: "/", fields }), into, 8);
  assert.deepEqual(into.subarray(0, 8), new Uint8Array(8).fill(7));
  assert.equal(latin1(into, 8, end), "GET / HTTP/1.1\r\nHost: a.example\r\n\r\n");
});

Deno.test("responseHeadText() keeps obs-text byte by byte", () => {
  const fields = new Fields([{ name: "X", value: "caf\xe9" }]);
  const bytes = latin1Bytes(responseHeadText({ status: 200, reason: "\xff", fields }));
  assert.equal(latin1(bytes), "HTTP/1.1 200 \xff\r\nX: caf\xe9\r\n\r\n");
});

Deno.test("writing says -1 when it does not fit", () => {
  assert.equal(writeLatin1("abc\xe9", new Uint8Array(3), 0), -1);
  assert.equal(writeLatin1("\xe9\xe9\xe9\xe9", new Uint8Array(4), 0), 4);
  assert.equal(writeChunk([new Uint8Array(8)], new Uint8Array(12), 0), -1);
  assert.equal(writeChunk([new Uint8Array(8)], new Uint8Array(13), 0), 13);
});

Deno.test("writeLatin1() refuses characters that would be cut to another byte", () => {
  assert.throws(() => writeLatin1("a\u010ab", new Uint8Array(10), 0), RangeError);
});

Deno.test("writeChunk() writes nothing for no data, since an empty chunk ends the body", () => {
  assert.equal(writeChunk([], new Uint8Array(4), 3), 3);
  assert.equal(writeChunk([new Uint8Array(0)], new Uint8Array(4), 3), 3);
});

Deno.test("CHUNK_OVERHEAD_BYTES is enough for a buffer's worth of data", () => {
  const size = 65_536;
  const into = new Uint8Array(size + CHUNK_OVERHEAD_BYTES);
  assert.ok(writeChunk([new Uint8Array(size)], into, 0) > size);
});

Deno.test("lastChunkText() ends a body with and without trailers", () => {
  assert.equal(lastChunkText(), latin1(LAST_CHUNK));
  assert.equal(lastChunkText(new Fields([{ name: "A", value: "b" }])), "0\r\nA: b\r\n\r\n");
});
