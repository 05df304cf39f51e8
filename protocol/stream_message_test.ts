import assert from "node:assert/strict";
import fc from "fast-check";
import { ProtocolError } from "./errors.ts";
import { MAX_STREAM_MESSAGE_BYTES } from "./limits.ts";
import { parseStreamMessage, type StreamMessage } from "./stream_message.ts";

const OPEN = {
  kind: "open",
  rule: "http/blog.example.com",
  revision: 3,
  visitor: { address: "203.0.113.9", port: 40_112 },
  protocol: "http",
} as const;

const MESSAGES: readonly StreamMessage[] = [
  OPEN,
  { ...OPEN, protocol: "tcp", tls: { name: "blog.example.com", version: "TLSv1.3" } },
  { kind: "ok" },
  { kind: "error", code: "E2001", message: "refused" },
  { kind: "fin", written: 2 ** 53 - 1 },
  { kind: "rst", code: "E2011", message: "" },
];

for (const message of MESSAGES) {
  Deno.test(`parseStreamMessage() gives back ${JSON.stringify(message).slice(0, 60)}`, () => {
    assert.deepEqual(parseStreamMessage(JSON.stringify(message)), message);
    assert.deepEqual(parseStreamMessage(JSON.stringify({ ...message, later: 1 })), message);
  });
}

Deno.test("the largest open stays far below the limit of a stream message", () => {
  const open = {
    ...OPEN,
    rule: `http/${"a".repeat(253)}`,
    visitor: { address: "f".repeat(64), port: 65_535 },
    tls: { name: "a".repeat(253), version: "TLSv1.3" },
  };
  assert.deepEqual(parseStreamMessage(JSON.stringify(open)), open);
  assert.ok(JSON.stringify(open).length < MAX_STREAM_MESSAGE_BYTES / 8);
});

const WRONG: readonly (readonly [what: string, json: string])[] = [
  ["no JSON", "ok"],
  ["nothing", ""],
  ["null", "null"],
  ["an unknown kind", '{"kind":"later"}'],
  ["a __proto__ with a kind", '{"__proto__":{"kind":"ok"}}'],
  ["an open without a rule", JSON.stringify({ ...OPEN, rule: "" })],
  ["an open with a rule too long", JSON.stringify({ ...OPEN, rule: "r".repeat(271) })],
  ["an open of an unknown protocol", JSON.stringify({ ...OPEN, protocol: "udp" })],
  ["an open without a visitor", JSON.stringify({ ...OPEN, visitor: undefined })],
  ["an open with port 65536", JSON.stringify({ ...OPEN, visitor: { address: "::1", port: 65_536 } })],
  ["a fin without written", '{"kind":"fin"}'],
  ["a fin with a fraction", '{"kind":"fin","written":0.5}'],
  ["a fin with less than nothing", '{"kind":"fin","written":-1}'],
  ["a fin beyond exact numbers", '{"kind":"fin","written":9007199254740993}'],
  ["an error without a message", '{"kind":"error","code":"E2001"}'],
  ["an rst with a message too long", JSON.stringify({ kind: "rst", code: "E1", message: "m".repeat(1025) })],
  ["an rst with a code too long", JSON.stringify({ kind: "rst", code: "E".repeat(17), message: "" })],
];

for (const [what, json] of WRONG) {
  Deno.test(`parseStreamMessage() refuses ${what}`, () => {
    assert.throws(() => parseStreamMessage(json), ProtocolError);
  });
}

Deno.test("parseStreamMessage() meets any text with a message or a ProtocolError", () => {
  fc.assert(fc.property(fc.oneof(fc.json(), fc.string()), (json) => {
    try {
      parseStreamMessage(json);
    } catch (error) {
      assert.ok(error instanceof ProtocolError, String(error));
    }
  }));
});
