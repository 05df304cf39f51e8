import assert from "node:assert/strict";
import fc from "fast-check";
import { ProtocolError } from "./errors.ts";
import {
  encodeFrame,
  FRAME_HEADER_ROOM_BYTES,
  FrameDecoder,
  type FrameDecoderOptions,
  OPCODE,
  type Opcode,
  writeFrameHeader,
} from "./frame.ts";

const KEY = new Uint8Array([0x37, 0xfa, 0x21, 0x3d]);
const MAX_BYTES = 1024 * 1024;
const RUNS = Deno.env.get("SOAK") === "1" ? 500_000 : 1_000;

/** A frame as the decoder gave it. */
interface Frame {
  opcode: Opcode;
  fin: boolean;
  payload: number[];
}

/** Decodes the chunks, which are copied since the decoder unmasks in place. */
function decode(chunks: readonly Uint8Array[], options: Partial<FrameDecoderOptions> = {}): Frame[] {
  const decoder = new FrameDecoder({ masked: false, maxPayloadBytes: MAX_BYTES, ...options });
  const frames: Frame[] = [];
  let payload: number[] = [];
  for (const chunk of chunks) {
    decoder.push(chunk.slice());
    for (let piece = decoder.next(); piece !== null; piece = decoder.next()) {
      for (const byte of piece) payload.push(byte);
      if (!decoder.frameEnd) continue;
      frames.push({ opcode: decoder.opcode, fin: decoder.fin, payload });
      payload = [];
    }
  }
  return frames;
}

function bytesOf(length: number): Uint8Array {
  return Uint8Array.from({ length }, (_, i) => (i * 7 + (i >> 8)) & 0xff);
}

/** Raw bytes from parts. */
function raw(...parts: (number | readonly number[] | Uint8Array)[]): Uint8Array {
  return Uint8Array.from(parts.flatMap((part) => typeof part === "number" ? [part] : [...part]));
}

for (const length of [0, 1, 2, 124, 125, 126, 127, 128, 255, 256, 65_534, 65_535]) {
  for (const masked of [false, true]) {
    for (const key of masked ? [undefined, KEY] : [undefined]) {
      const how = !masked ? "unmasked" : key === undefined ? "masked with key 0" : "really masked";
      Deno.test(`a ${how} frame of ${length} bytes is what was encoded`, () => {
        const payload = bytesOf(length);
        const frame = encodeFrame(payload, { opcode: OPCODE.binary, masked, ...(key === undefined ? {} : { key }) });
        const expected = [{ opcode: OPCODE.binary, fin: true, payload: [...payload] }];
        assert.deepEqual(decode([frame], { masked }), expected);
        assert.equal(frame.length, length + (length < 126 ? 2 : 4) + (masked ? 4 : 0));
      });
    }
  }
}

Deno.test("encodeFrame() with a key writes what RFC 6455 5.7 shows, and leaves the payload alone", () => {
  const hello = new TextEncoder().encode("Hello");
  assert.deepEqual(
    encodeFrame(hello, { opcode: OPCODE.text, masked: false }),
    raw(0x81, 0x05, hello),
  );
  assert.deepEqual(
    encodeFrame(hello, { opcode: OPCODE.text, masked: true, key: KEY }),
    raw(0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58),
  );
  assert.equal(new TextDecoder().decode(hello), "Hello");
});

Deno.test("writeFrameHeader() ends where the payload starts, and touches nothing else", () => {
  const into = new Uint8Array(FRAME_HEADER_ROOM_BYTES + 3).fill(0xee);
  const start = writeFrameHeader(into, FRAME_HEADER_ROOM_BYTES, 3, { opcode: OPCODE.binary, masked: true });
  assert.equal(start, 2);
  assert.deepEqual(into, raw(0xee, 0xee, 0x82, 0x83, 0, 0, 0, 0, 0xee, 0xee, 0xee));
});

Deno.test("writeFrameHeader() refuses a payload beyond the 16-bit form", () => {
  const into = new Uint8Array(FRAME_HEADER_ROOM_BYTES);
  assert.throws(() => writeFrameHeader(into, 8, 65_536, { opcode: OPCODE.binary, masked: false }), RangeError);
});

Deno.test("FrameDecoder gives the same frames wherever the bytes are cut", () => {
  for (const masked of [false, true]) {
    const stream = raw(
      encodeFrame(bytesOf(3), { opcode: OPCODE.text, masked, key: KEY }),
      encodeFrame(new Uint8Array(0), { opcode: OPCODE.binary, masked, key: KEY }),
      encodeFrame(bytesOf(130), { opcode: OPCODE.binary, masked, key: KEY }),
      encodeFrame(bytesOf(5), { opcode: OPCODE.ping, masked, key: KEY }),
    );
    const whole = decode([stream], { masked });
    assert.deepEqual(whole.map(({ payload }) => payload.length), [3, 0, 130, 5]);
    for (let at = 0; at <= stream.length; at++) {
      assert.deepEqual(decode([stream.subarray(0, at), stream.subarray(at)], { masked }), whole, `cut at ${at}`);
    }
    assert.deepEqual(decode([...stream].map((byte) => raw(byte)), { masked }), whole);
  }
});

Deno.test("FrameDecoder takes the 64-bit length form for what needs it", () => {
  const payload = bytesOf(65_536);
  const frame = raw(0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0, payload);
  assert.deepEqual(decode([frame]), [{ opcode: OPCODE.binary, fin: true, payload: [...payload] }]);
});

Deno.test("FrameDecoder gives pieces of the chunk, not copies", () => {
  const decoder = new FrameDecoder({ masked: false, maxPayloadBytes: MAX_BYTES });
  const chunk = raw(0x82, 4, 1, 2, 3);
  decoder.push(chunk);
  const piece = decoder.next();
  assert.equal(piece?.buffer, chunk.buffer);
  assert.deepEqual(piece, raw(1, 2, 3));
  assert.equal(decoder.frameEnd, false);
  assert.equal(decoder.next(), null);
  const rest = raw(4);
  decoder.push(rest);
  assert.equal(decoder.next()?.buffer, rest.buffer);
  assert.equal(decoder.frameEnd, true);
});

Deno.test("FrameDecoder reports fragments as they are", () => {
  const stream = raw(0x02, 1, 9, 0x00, 0, 0x80, 2, 8, 7);
  assert.deepEqual(decode([stream]), [
    { opcode: OPCODE.binary, fin: false, payload: [9] },
    { opcode: OPCODE.continuation, fin: false, payload: [] },
    { opcode: OPCODE.continuation, fin: true, payload: [8, 7] },
  ]);
});

const VIOLATIONS: readonly (readonly [what: string, bytes: Uint8Array, options?: Partial<FrameDecoderOptions>])[] = [
  ["a masked frame of a server", raw(0x82, 0x81, KEY, 0)],
  ["an unmasked frame of a client", raw(0x82, 0x01, 0), { masked: true }],
  ["RSV1 (compression nobody offered)", raw(0xc2, 0)],
  ["RSV2", raw(0xa2, 0)],
  ["RSV3", raw(0x92, 0)],
  ...[3, 4, 5, 6, 7, 11, 12, 13, 14, 15].map((opcode) => [`opcode ${opcode}`, raw(0x80 | opcode, 0)] as const),
  ["a fragmented close", raw(0x08, 0)],
  ["a fragmented ping", raw(0x09, 0)],
  ["a fragmented pong", raw(0x0a, 0)],
  ["a close over 125 bytes", raw(0x88, 126, 0, 126)],
  ["a ping over 125 bytes", raw(0x89, 126, 0, 126)],
  ["a pong over 125 bytes", raw(0x8a, 127, 0, 0, 0, 0, 0, 1, 0, 0)],
  ["125 bytes in the 16-bit form", raw(0x82, 126, 0, 125)],
  ["65,535 bytes in the 64-bit form", raw(0x82, 127, 0, 0, 0, 0, 0, 0, 0xff, 0xff)],
  ["a length with the top bit set", raw(0x82, 127, 0x80, 0, 0, 0, 0, 0, 0, 1)],
  ["a length beyond 2^53", raw(0x82, 127, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff)],
  ["one byte over the limit", raw(0x82, 127, 0, 0, 0, 0, 0, 0x10, 0, 1)],
  ["one byte over a small limit", raw(0x82, 11), { maxPayloadBytes: 10 }],
];

for (const [what, bytes, options] of VIOLATIONS) {
  Deno.test(`FrameDecoder refuses ${what} before a byte of the payload is there, wherever it is cut`, () => {
    assert.throws(() => decode([bytes], options), ProtocolError);
    assert.throws(() => decode([...bytes].map((byte) => raw(byte)), options), ProtocolError);
  });
}

Deno.test("FrameDecoder takes a frame of just the limit", () => {
  assert.equal(decode([raw(0x82, 10, bytesOf(10))], { maxPayloadBytes: 10 })[0]?.payload.length, 10);
});

Deno.test("FrameDecoder meets random bytes with frames or a ProtocolError, never with anything else", () => {
  const chunks = fc.array(fc.uint8Array({ maxLength: 40 }), { maxLength: 20 });
  fc.assert(
    fc.property(chunks, fc.boolean(), (bytes, masked) => {
      try {
        decode(bytes, { masked, maxPayloadBytes: 1000 });
      } catch (error) {
        assert.ok(error instanceof ProtocolError, String(error));
      }
    }),
    { numRuns: RUNS },
  );
});

Deno.test("FrameDecoder gives back any sequence of frames, cut anywhere", () => {
  const frame = fc.record({
    payload: fc.uint8Array({ maxLength: 200 }),
    key: fc.uint8Array({ minLength: 4, maxLength: 4 }),
    opcode: fc.constantFrom(OPCODE.text, OPCODE.binary, OPCODE.continuation),
  });
  const cuts = fc.infiniteStream(fc.integer({ min: 1, max: 90 }));
  fc.assert(fc.property(fc.array(frame, { maxLength: 8 }), fc.boolean(), cuts, (frames, masked, sizes) => {
    const stream = raw(...frames.map(({ payload, key, opcode }) => encodeFrame(payload, { opcode, masked, key })));
    const chunks: Uint8Array[] = [];
    for (let at = 0; at < stream.length;) {
      const size = sizes.next().value as number;
      chunks.push(stream.subarray(at, at + size));
      at += size;
    }
    const expected = frames.map(({ payload, opcode }) => ({ opcode, fin: true, payload: [...payload] }));
    assert.deepEqual(decode(chunks, { masked }), expected);
  }));
});
