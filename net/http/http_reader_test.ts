import assert from "node:assert/strict";
import { CodedError } from "../../protocol/errors.ts";
import { bodyDecoder } from "../../protocol/http/body.ts";
import type { HeadKind } from "../../protocol/http/head.ts";
import { latin1 } from "../../protocol/http/latin1.ts";
import { latin1Bytes } from "../../protocol/http/serialise.ts";
import { memoryPair } from "../memory_duplex.ts";
import { HttpReader } from "./http_reader.ts";

const HEAD = "GET / HTTP/1.1\r\nHost: a.example\r\n\r\n";

/** A reader over a peer that sends `text` and then ends. */
async function readerOf(
  text: string,
  { kind = "request", maxRead = Infinity }: { kind?: HeadKind; maxRead?: number } = {},
) {
  const [near, far] = memoryPair({ highWaterMark: 1_000_000, maxRead });
  await far.write(latin1Bytes(text));
  await far.closeWrite();
  return new HttpReader(near, kind);
}

async function readText(reader: HttpReader, length: number): Promise<string> {
  const decoder = bodyDecoder({ kind: "length", length }, "request");
  let text = "";
  for (;;) {
    const pieces = await reader.readBody(decoder);
    if (pieces === null) return text;
    for (const piece of pieces) text += latin1(piece);
  }
}

async function fault(reader: HttpReader): Promise<string> {
  try {
    await reader.readHead();
    return "none";
  } catch (error) {
    assert.ok(error instanceof CodedError);
    return error.kind;
  }
}

for (const maxRead of [Infinity, 1, 2, 3, 7]) {
  Deno.test(`HttpReader reads pipelined messages in turn, ${maxRead} bytes at once`, async () => {
    const reader = await readerOf(`${HEAD}${HEAD}hello${HEAD}`, { maxRead });
    assert.equal(await reader.readHead(), HEAD);
    assert.equal(await reader.readHead(), HEAD);
    assert.equal(await readText(reader, 5), "hello");
    assert.equal(await reader.readHead(), HEAD);
    assert.equal(await reader.readHead(), null);
  });

  Deno.test(`HttpReader reads chunked bodies, ${maxRead} bytes at once`, async () => {
    const reader = await readerOf(`${HEAD}3\r\nabc\r\n2\r\nde\r\n0\r\nA: b\r\n\r\n${HEAD}`, { maxRead });
    await reader.readHead();
    const decoder = bodyDecoder({ kind: "chunked" }, "request");
    let text = "";
    for (let pieces = await reader.readBody(decoder); pieces !== null; pieces = await reader.readBody(decoder)) {
      for (const piece of pieces) text += latin1(piece);
    }
    assert.equal(text, "abcde");
    assert.equal(decoder.trailers?.get("a"), "b");
    assert.equal(await reader.readHead(), HEAD);
  });
}

Deno.test("HttpReader finds the end of a head wherever its bytes lie", async () => {
  for (let pad = 0; pad < 9; pad++) {
    const head = `GET /${"x".repeat(pad)} HTTP/1.1\r\nA:\r\nHost: a\r\n\r\n`;
    const reader = await readerOf(`${head}\r\n\r\n`);
    assert.equal(await reader.readHead(), head);
  }
});

Deno.test("HttpReader skips an empty line before a request", async () => {
  for (const maxRead of [Infinity, 1]) {
    const reader = await readerOf(`\r\n${HEAD}`, { maxRead });
    assert.equal(await reader.readHead(), HEAD);
  }
});

Deno.test("HttpReader refuses at once what can never become a head", async () => {
  // None of these ends in an empty line, and the peer could keep the connection open.
  for (const text of ["\x16\x03\x01\x02\x00", "GET / HTTP/1.1\nHost: a\n\n", "\0\0\0", " GET"]) {
    assert.equal(await fault(await readerOf(text)), "BAD_REQUEST", JSON.stringify(text));
  }
  for (const text of ["SSH-2.0-OpenSSH\r\n", "HTTP/2", "H\r\n"]) {
    assert.equal(await fault(await readerOf(text, { kind: "response" })), "TARGET_BAD_RESPONSE", text);
  }
});

Deno.test("HttpReader bounds a head that never ends", async () => {
  for (const maxRead of [Infinity, 1_000]) {
    assert.equal(await fault(await readerOf(`GET /${"a".repeat(9_000)}`, { maxRead })), "URI_TOO_LONG");
    assert.equal(
      await fault(await readerOf(`GET / HTTP/1.1\r\nA: ${"a".repeat(33_000)}`, { maxRead })),
      "HEADERS_TOO_LARGE",
    );
    const response = await readerOf(`HTTP/1.1 200 OK\r\nA: ${"a".repeat(33_000)}`, { kind: "response", maxRead });
    assert.equal(await fault(response), "TARGET_BAD_RESPONSE");
  }
});

Deno.test("HttpReader tells a cut head and body from a clean end", async () => {
  assert.equal(await fault(await readerOf("GET / HT")), "BAD_REQUEST");
  assert.equal(await fault(await readerOf("HTTP/1.1 20", { kind: "response" })), "TARGET_CLOSED");
  const reader = await readerOf(`${HEAD}hel`);
  await reader.readHead();
  await assert.rejects(readText(reader, 5), CodedError);
});

Deno.test("HttpReader.rest() gives what followed a head, once", async () => {
  const reader = await readerOf(`${HEAD}frame`);
  await reader.readHead();
  assert.equal(reader.buffered, 5);
  assert.equal(latin1(reader.rest()), "frame");
  assert.equal(reader.rest().length, 0);
});

Deno.test("HttpReader says once for each head that it came in part", async () => {
  const [near, far] = memoryPair();
  let partial = 0;
  const reader = new HttpReader(near, "request", () => partial++);
  await far.write(latin1Bytes(HEAD));
  await reader.readHead();
  assert.equal(partial, 0);
  const reading = reader.readHead();
  for (const part of ["GE", "T / HTTP/1.1\r\n", "Host: a.example\r\n\r\nGET /"]) await far.write(latin1Bytes(part));
  assert.equal(await reading, HEAD);
  assert.equal(partial, 1);
  const next = reader.readHead();
  assert.equal(partial, 2);
  far.reset();
  await assert.rejects(Promise.resolve(next));
});

Deno.test("HttpReader gives a head without a promise when its bytes are there", async () => {
  const reader = await readerOf(`${HEAD}${HEAD}`);
  await reader.readHead();
  assert.equal(reader.readHead(), HEAD);
});
