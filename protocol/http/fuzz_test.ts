import assert from "node:assert/strict";
import fc from "fast-check";
import { CodedError } from "../errors.ts";
import { bodyDecoder } from "./body.ts";
import type { BodyDecoder } from "./body_decoder.ts";
import { lastChunkText, writeChunk } from "./chunk_encoder.ts";
import { Fields } from "./field.ts";
import { requestFraming, responseFraming } from "./framing.ts";
import { parseRequestHead, parseResponseHead } from "./head.ts";
import { latin1 } from "./latin1.ts";
import { latin1Bytes, requestHeadText, responseHeadText } from "./serialise.ts";

const TOKEN = fc.stringMatching(/^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,12}$/);
const VALUE = fc.stringMatching(/^([\x21-\x7e\x80-\xff]([\t\x20-\x7e\x80-\xff]{0,20}[\x21-\x7e\x80-\xff])?)?$/);
const FIELD = fc.record({ name: TOKEN.filter((name) => name.toLowerCase() !== "host"), value: VALUE });
const REASON = fc.stringMatching(/^[\x20-\x7e]{0,20}$/);
/** Bytes that matter to the grammar come often. */
const NOISE = fc.array(
  fc.oneof(
    fc.constantFrom(...'\r\n: \t;0a5=,"chunked'.split("")),
    fc.integer({ min: 0, max: 255 }).map((c) => String.fromCharCode(c)),
  ),
  { maxLength: 60 },
).map((characters) => characters.join(""));

function codedOnly(run: () => unknown): string {
  try {
    run();
    return "ok";
  } catch (error) {
    assert.ok(error instanceof CodedError, String(error));
    return error.kind;
  }
}

function decodeAll(decoder: BodyDecoder, parts: readonly Uint8Array[]): string {
  let body = "";
  let unused = 0;
  const result = codedOnly(() => {
    for (const part of parts) {
      const used = decoder.done ? 0 : decoder.feed(part);
      unused += part.length - used;
      for (const piece of decoder.done && used === 0 ? [] : decoder.pieces) body += latin1(piece);
    }
    decoder.end();
  });
  // Data that stood before a fault in the same piece is never given out, so only the fault itself is the same for every split.
  if (result !== "ok") return result;
  return JSON.stringify([result, body, unused, decoder.trailers?.toText()]);
}

Deno.test("parsing and framing throw nothing but coded errors, whatever the bytes", () => {
  const requests = fc.oneof(
    NOISE,
    fc.tuple(NOISE, NOISE).map(([a, b]) => `GET /${a} HTTP/1.1\r\nHost: a.example\r\n${b}\r\n\r\n`),
    NOISE.map((noise) => `POST / HTTP/1.1\r\nHost: ${noise}\r\n\r\n`),
    NOISE.map((noise) => `POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:${noise}\r\n\r\n`),
    NOISE.map((noise) => `POST / HTTP/1.1\r\nHost: a\r\nContent-Length:${noise}\r\n\r\n`),
  );
  fc.assert(
    fc.property(requests, (text) => {
      codedOnly(() => requestFraming(parseRequestHead(latin1Bytes(text))));
    }),
    { numRuns: 3_000 },
  );
  fc.assert(
    fc.property(NOISE, NOISE, (a, b) => {
      codedOnly(() => parseResponseHead(latin1Bytes(a)));
      codedOnly(() => responseFraming(parseResponseHead(`HTTP/1.1 200 ${a}\r\n${b}\r\n\r\n`), "GET"));
    }),
    { numRuns: 1_000 },
  );
});

Deno.test("a head that was serialised reads back the same", () => {
  fc.assert(fc.property(TOKEN, fc.array(FIELD, { maxLength: 20 }), (method, list) => {
    fc.pre(method !== "CONNECT");
    const fields = new Fields([{ name: "Host", value: "a.example" }, ...list]);
    const text = requestHeadText({ method, target: "/x?y", fields });
    const head = parseRequestHead(latin1Bytes(text));
    assert.deepEqual([head.method, head.target, head.host, head.fields.toText()], [
      method,
      "/x?y",
      "a.example",
      fields.toText(),
    ]);
  }));
  fc.assert(
    fc.property(
      fc.integer({ min: 100, max: 999 }),
      REASON,
      fc.array(FIELD, { maxLength: 20 }),
      (status, reason, list) => {
        const fields = new Fields(list);
        const head = parseResponseHead(latin1Bytes(responseHeadText({ status, reason, fields })));
        assert.deepEqual([head.status, head.reason, head.fields.toText()], [status, reason, fields.toText()]);
      },
    ),
  );
});

Deno.test("a parsed head never gives out a line break or NUL", () => {
  fc.assert(
    fc.property(NOISE, NOISE, (a, b) => {
      let head;
      try {
        head = parseRequestHead(`GET /${a} HTTP/1.1\r\nHost: a.example\r\n${b}: ${a}\r\n\r\n`);
      } catch {
        // Refused is as good.
        return;
      }
      assert.doesNotMatch(
        head.method + head.target + [...head.fields].map((f) => f.name + f.value).join(""),
        /[\r\n\0]/,
      );
    }),
    { numRuns: 2_000 },
  );
});

Deno.test("the chunked decoder gives the same for every split, also of random bytes", () => {
  const messages = fc.oneof(
    NOISE,
    fc.tuple(fc.array(fc.string({ unit: "binary-ascii", minLength: 1, maxLength: 20 }), { maxLength: 5 }), NOISE).map((
      [chunks, noise],
    ) => chunks.map((chunk) => `${chunk.length.toString(16)}\r\n${chunk}\r\n`).join("") + `0\r\n${noise}\r\n\r\nrest`),
    NOISE.map((noise) => `3${noise}\r\nabc\r\n0\r\n\r\n`),
  );
  fc.assert(
    fc.property(messages, fc.array(fc.nat(80), { maxLength: 6 }), (text, cuts) => {
      const bytes = latin1Bytes(text);
      const whole = decodeAll(bodyDecoder({ kind: "chunked" }, "request"), [bytes]);
      const edges = [0, ...cuts.map((cut) => Math.min(cut, bytes.length)).sort((a, b) => a - b), bytes.length];
      const parts = edges.slice(1).map((edge, i) => bytes.subarray(edges[i], edge)).filter((part) => part.length > 0);
      assert.equal(decodeAll(bodyDecoder({ kind: "chunked" }, "request"), parts), whole);
      const single = Array.from(bytes, (_, i) => bytes.subarray(i, i + 1));
      assert.equal(decodeAll(bodyDecoder({ kind: "chunked" }, "request"), single), whole);
    }),
    { numRuns: 2_000 },
  );
});

Deno.test("what the chunk encoder writes, the decoder reads", () => {
  fc.assert(
    fc.property(fc.array(fc.array(fc.uint8Array({ maxLength: 40 }), { maxLength: 4 }), { maxLength: 6 }), (chunks) => {
      const buffer = new Uint8Array(2_000);
      let at = 0;
      for (const chunk of chunks) at = writeChunk(chunk, buffer, at);
      const trailers = new Fields([{ name: "X-Sum", value: "1" }]);
      const end = latin1Bytes(lastChunkText(trailers));
      const decoder = bodyDecoder({ kind: "chunked" }, "response");
      const expected = latin1(new Uint8Array(chunks.flat().flatMap((piece) => [...piece])));
      assert.equal(decodeAll(decoder, [buffer.slice(0, at), end]), JSON.stringify(["ok", expected, 0, "X-Sum: 1\r\n"]));
    }),
  );
});
