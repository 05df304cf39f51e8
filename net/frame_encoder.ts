import { allocate } from "../protocol/allocate.ts";
import {
  encodeFrame,
  FRAME_HEADER_ROOM_BYTES,
  frameHeaderBytes,
  maskFrame,
  OPCODE,
  type Opcode,
  writeFrameHeader,
} from "../protocol/frame.ts";
import { MAX_DATA_PAYLOAD_BYTES } from "../protocol/limits.ts";

/** Whose frames they are. */
export interface FrameEncoderOptions {
  /** Whether we are the client of the WebSocket, whose frames are masked. */
  readonly client: boolean;
  /** Whether TLS is underneath; without it a client masks with a random key. */
  readonly secure: boolean;
}

/** Makes the frames that one side of a WebSocket sends. */
export class FrameEncoder {
  readonly #masked: boolean;
  readonly #secure: boolean;

  constructor({ client, secure }: FrameEncoderOptions) {
    this.#masked = client;
    this.#secure = secure;
  }

  /** A final frame around a copy of the payload. */
  frame(opcode: Opcode, payload: Uint8Array): Uint8Array {
    const masked = this.#masked;
    if (!masked || this.#secure) return encodeFrame(payload, { opcode, masked });
    return encodeFrame(payload, { opcode, masked, key: randomKey() });
  }

  /** Bytes as binary frames, for one write; into `headroom` bytes in front of them the header may go. */
  data(bytes: Uint8Array, headroom: number): Uint8Array {
    const inPlace = headroom >= FRAME_HEADER_ROOM_BYTES && bytes.length <= MAX_DATA_PAYLOAD_BYTES &&
      bytes.byteOffset >= FRAME_HEADER_ROOM_BYTES &&
      (!this.#masked || this.#secure);
    return inPlace ? frameInPlace(bytes, this.#masked) : this.#copied(bytes);
  }

  /** The header of a binary frame whose payload is written behind it; only where nothing is masked with a random key. */
  dataHeader(length: number): Uint8Array {
    const header = new Uint8Array(FRAME_HEADER_ROOM_BYTES);
    const start = writeFrameHeader(header, header.length, length, { opcode: OPCODE.binary, masked: this.#masked });
    return header.subarray(start);
  }

  /** Copied once; of equal size, since a receiver hands on each: 64 KiB are two halves, not one and a byte. */
  #copied(bytes: Uint8Array): Uint8Array {
    const masked = this.#masked;
    const count = Math.ceil(bytes.length / MAX_DATA_PAYLOAD_BYTES);
    const size = Math.ceil(bytes.length / count);
    const buffer = allocate(bytes.length + count * FRAME_HEADER_ROOM_BYTES);
    let start = buffer.length;
    for (let at = (count - 1) * size; at >= 0; at -= size) {
      const piece = count === 1 ? bytes : bytes.subarray(at, at + size);
      const payloadAt = start - piece.length;
      buffer.set(piece, payloadAt);
      start = writeFrameHeader(buffer, payloadAt, piece.length, { opcode: OPCODE.binary, masked });
      if (masked && !this.#secure) maskFrame(buffer, payloadAt, piece.length, randomKey());
    }
    return buffer.subarray(start);
  }
}

/** A frame whose header is written into the bytes in front of its payload. */
function frameInPlace(bytes: Uint8Array, masked: boolean): Uint8Array {
  const headerBytes = frameHeaderBytes(bytes.length, masked);
  const frame = new Uint8Array(bytes.buffer, bytes.byteOffset - headerBytes, headerBytes + bytes.length);
  writeFrameHeader(frame, headerBytes, bytes.length, { opcode: OPCODE.binary, masked });
  return frame;
}

function randomKey(): Uint8Array {
  return crypto.getRandomValues(new Uint8Array(4));
}
