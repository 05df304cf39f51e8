import { ProtocolError } from "./errors.ts";
import { MAX_CONTROL_FRAME_BYTES } from "./limits.ts";

/** Frame types of RFC 6455 5.2. */
export const OPCODE = { continuation: 0, text: 1, binary: 2, close: 8, ping: 9, pong: 10 } as const;
/** One of {@link OPCODE}. */
export type Opcode = (typeof OPCODE)[keyof typeof OPCODE];

/** Room that a header of {@link writeFrameHeader} may need in front of a payload: 2 bytes, 2 of length, 4 of mask. */
export const FRAME_HEADER_ROOM_BYTES = 8;

const FIN = 0x80;
const MASKED = 0x80;
const LENGTH_16 = 126;
const LENGTH_64 = 127;
const VALID_OPCODES: ReadonlySet<number> = new Set(Object.values(OPCODE));

/**
 * Writes the header of a final frame in place, so that it ends where the payload starts: frame and payload are then one write.
 * A masked header carries key 0, under which the payload is its own masked form (RFC 6455 5.3).
 * @returns where the frame starts
 */
export function writeFrameHeader(
  into: Uint8Array,
  payloadAt: number,
  length: number,
  options: { opcode: Opcode; masked: boolean },
): number {
  if (length > 0xffff) {
    throw new RangeError(`Cannot write a frame header as the payload is over 65535 bytes: ${length}`);
  }
  const start = payloadAt - frameHeaderBytes(length, options.masked);
  const maskBit = options.masked ? MASKED : 0;
  into[start] = FIN | options.opcode;
  if (length < LENGTH_16) {
    into[start + 1] = maskBit | length;
  } else {
    into[start + 1] = maskBit | LENGTH_16;
    into[start + 2] = length >> 8;
    into[start + 3] = length & 0xff;
  }
  if (options.masked) into.fill(0, payloadAt - 4, payloadAt);
  return start;
}

/** Length of the header that {@link writeFrameHeader} writes. */
export function frameHeaderBytes(length: number, masked: boolean): number {
  return (length < LENGTH_16 ? 2 : 4) + (masked ? 4 : 0);
}

/** A whole final frame around a copy of the payload; with `key` it is really masked (needed where no TLS is underneath). */
export function encodeFrame(
  payload: Uint8Array,
  options: { opcode: Opcode; masked: boolean; key?: Uint8Array },
): Uint8Array {
  const frame = new Uint8Array(FRAME_HEADER_ROOM_BYTES + payload.length);
  frame.set(payload, FRAME_HEADER_ROOM_BYTES);
  const start = writeFrameHeader(frame, FRAME_HEADER_ROOM_BYTES, payload.length, options);
  if (options.masked && options.key !== undefined) {
    maskFrame(frame, FRAME_HEADER_ROOM_BYTES, payload.length, options.key);
  }
  return frame.subarray(start);
}

/** Masks in place a frame whose header was written by {@link writeFrameHeader}. */
export function maskFrame(frame: Uint8Array, payloadAt: number, length: number, key: Uint8Array): void {
  frame.set(key, payloadAt - 4);
  applyMask(frame.subarray(payloadAt, payloadAt + length), key, 0);
}

/** What the decoder demands of the peer. */
export interface FrameDecoderOptions {
  /** Frames of a client are masked, those of a server are not (RFC 6455 5.1). */
  masked: boolean;
  /** Largest payload of a data frame, bytes. */
  maxPayloadBytes: number;
}

/**
 * Reads frames piece by piece without copying: `push()` a chunk, then call `next()` until it gives `null`.
 * After each piece the fields tell which frame it belongs to. A payload that spans chunks comes as several pieces.
 */
export class FrameDecoder {
  /** Type of the frame of the last piece. */
  opcode: Opcode = OPCODE.binary;
  /** Whether that frame is the last of its message. */
  fin = true;
  /** Whether the last piece ended its frame. */
  frameEnd = true;

  readonly #options: FrameDecoderOptions;
  #chunk: Uint8Array = new Uint8Array(0);
  #at = 0;
  #payloadLeft = 0;
  #inFrame = false;
  readonly #header = new Uint8Array(14);
  #headerBytes = 0;
  readonly #key = new Uint8Array(4);
  #keyed = false;
  #keyAt = 0;

  constructor(options: FrameDecoderOptions) {
    this.#options = options;
  }

  /** Gives the decoder the next bytes; the chunk before it must have been read to its end. */
  push(chunk: Uint8Array): void {
    this.#chunk = chunk;
    this.#at = 0;
  }

  /** Whether the chunk is not used up. */
  get hasBytes(): boolean {
    return this.#at < this.#chunk.length;
  }

  /**
   * The next piece of a payload (empty only for an empty frame), or `null` when the chunk is used up.
   * @throws {ProtocolError} on anything RFC 6455 forbids, or over a limit
   */
  next(): Uint8Array | null {
    if (!this.#inFrame && !this.#readHeader()) return null;
    const available = this.#chunk.length - this.#at;
    if (this.#payloadLeft > 0 && available === 0) return null;
    const take = available < this.#payloadLeft ? available : this.#payloadLeft;
    const piece = this.#chunk.subarray(this.#at, this.#at + take);
    if (this.#keyed) {
      applyMask(piece, this.#key, this.#keyAt);
      this.#keyAt = (this.#keyAt + take) & 3;
    }
    this.#at += take;
    this.#payloadLeft -= take;
    this.frameEnd = this.#payloadLeft === 0;
    if (this.frameEnd) this.#inFrame = false;
    return piece;
  }

  /** Collects header bytes, which may be split anywhere; true when a header is complete. */
  #readHeader(): boolean {
    const header = this.#header;
    let need = this.#headerBytes < 2 ? 2 : this.#headerLength();
    while (this.#headerBytes < need) {
      if (this.#at === this.#chunk.length) return false;
      header[this.#headerBytes++] = this.#chunk[this.#at++]!;
      if (this.#headerBytes === 2) need = this.#headerLength();
    }
    this.#headerBytes = 0;
    this.#startFrame(need);
    return true;
  }

  #headerLength(): number {
    const second = this.#header[1]!;
    if (((second & MASKED) !== 0) !== this.#options.masked) {
      throw new ProtocolError(`Cannot read a frame as it must ${this.#options.masked ? "" : "not "}be masked`);
    }
    const length = second & 0x7f;
    return 2 + (length === LENGTH_16 ? 2 : length === LENGTH_64 ? 8 : 0) + (this.#options.masked ? 4 : 0);
  }

  #startFrame(headerBytes: number): void {
    const header = this.#header;
    const first = header[0]!;
    const opcode = first & 0x0f;
    if ((first & 0x70) !== 0) throw new ProtocolError("Cannot read a frame as reserved bits are set");
    if (!VALID_OPCODES.has(opcode)) throw new ProtocolError(`Cannot read a frame of reserved type ${opcode}`);
    this.opcode = opcode as Opcode;
    this.fin = (first & FIN) !== 0;
    const length = this.#payloadLength();
    const control = opcode >= OPCODE.close;
    if (control && !this.fin) throw new ProtocolError("Cannot read a control frame as it is fragmented");
    const limit = control ? MAX_CONTROL_FRAME_BYTES : this.#options.maxPayloadBytes;
    if (length > limit) throw new ProtocolError(`Cannot read a frame as it is over ${limit} bytes: ${length}`);
    if (this.#options.masked) this.#setKey(headerBytes - 4);
    this.#payloadLeft = length;
    this.#inFrame = true;
  }

  /** Extended lengths must be minimal (RFC 6455 5.2), so that one frame has one form. */
  #payloadLength(): number {
    const header = this.#header;
    const short = header[1]! & 0x7f;
    if (short < LENGTH_16) return short;
    const view = new DataView(header.buffer);
    const length = short === LENGTH_16 ? view.getUint16(2) : Number(view.getBigUint64(2));
    if (length < (short === LENGTH_16 ? LENGTH_16 : 0x10000)) {
      throw new ProtocolError("Cannot read a frame as its length is not in the shortest form");
    }
    return length;
  }

  #setKey(at: number): void {
    const header = this.#header;
    this.#key.set(header.subarray(at, at + 4));
    this.#keyed = header[at] !== 0 || header[at + 1] !== 0 || header[at + 2] !== 0 || header[at + 3] !== 0;
    this.#keyAt = 0;
  }
}

function applyMask(bytes: Uint8Array, key: Uint8Array, at: number): void {
  for (let i = 0; i < bytes.length; i++) bytes[i]! ^= key[(at + i) & 3]!;
}
