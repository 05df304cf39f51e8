import assert from "node:assert/strict";
import { CodedError, errorFromWire, ERRORS, ProtocolError, StreamResetError, toCodedError } from "./errors.ts";

Deno.test("no two errors share a code", () => {
  const codes = Object.values(ERRORS).map(({ code }) => code);
  assert.equal(new Set(codes).size, codes.length);
});

Deno.test("errorFromWire() knows the code again, and makes the fallback of one it does not know", () => {
  const known = errorFromWire(ERRORS.TARGET_REFUSED.code, "nobody listens");
  assert.deepEqual([known.kind, known.code, known.message], ["TARGET_REFUSED", "E2001", "nobody listens"]);
  assert.equal(errorFromWire("E0000", "new").kind, "REQUEST_FAILED");
  assert.equal(errorFromWire("__proto__", "odd", "TARGET_UNREACHABLE").kind, "TARGET_UNREACHABLE");
});

Deno.test("a reset is a StreamResetError wherever it comes from", () => {
  assert.ok(errorFromWire(ERRORS.STREAM_RESET.code, "cut") instanceof StreamResetError);
  assert.ok(errorFromWire("E0000", "cut", "STREAM_RESET") instanceof StreamResetError);
  assert.ok(toCodedError(new Error("cut"), "STREAM_RESET") instanceof StreamResetError);
});

Deno.test("toCodedError() keeps a coded error, and wraps anything else with its cause", () => {
  const coded = new ProtocolError("Cannot");
  assert.equal(toCodedError(coded, "STREAM_RESET"), coded);
  const cause = new TypeError("odd");
  const wrapped = toCodedError(cause);
  assert.ok(wrapped instanceof CodedError);
  assert.deepEqual([wrapped.kind, wrapped.message, wrapped.cause], ["INTERNAL", "odd", cause]);
  assert.equal(toCodedError("text").message, "text");
});
