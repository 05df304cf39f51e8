import { Socket, type SocketConstructorOpts } from "node:net";
import type { TLSSocket } from "node:tls";
import { allocate, HEADROOM_BYTES } from "../protocol/allocate.ts";
import { FRAME_HEADER_ROOM_BYTES } from "../protocol/frame.ts";
import { MAX_DATA_PAYLOAD_BYTES } from "../protocol/limits.ts";
import type { ReadQueue } from "./read_queue.ts";

/** A connection begins with this much, and many never need more: twenty thousand idle ones must not hold gigabytes. */
const FIRST_BYTES = 1024;
/** A connection that is in use, but quiet, holds no more than this. */
const SMALL_BYTES = 4 * 1024;
/** The rest of a small buffer is read into until less than this is left of it. */
const MIN_SMALL_BYTES = 1024;
/** So many small reads in a row are the end of a busy time, not of a record. */
const MAX_SMALL_READS = 4;
/** So few bytes are copied: that costs less than to tell the runtime of another buffer. */
const COPIED_BYTES = 512;
/** A busy plain connection reads as much as one frame carries. */
const LARGE_BYTES = MAX_DATA_PAYLOAD_BYTES;
/** A busy TLS connection reads one frame with its header: else each would take two reads. */
const LARGE_SECURE_BYTES = MAX_DATA_PAYLOAD_BYTES + FRAME_HEADER_ROOM_BYTES;
/** Memory for either. */
const BUFFER_BYTES = HEADROOM_BYTES + LARGE_SECURE_BYTES;
/** Large buffers kept for reuse in the process, 4 MiB: as many as are between a read and a finished write at once. */
const MAX_FREE = 64;

const free: ArrayBuffer[] = [];

/**
 * The memory that a socket reads into (the `onread` option of `net.Socket`): without it the runtime allocates 64 KiB for every
 * read, however little comes. What was read has {@link HEADROOM_BYTES} in front, so that it can become a frame where it lies.
 */
export class Intake {
  /** Gets every chunk; set by whoever reads. */
  into: Pick<ReadQueue, "push"> | undefined;
  /** For `net.Socket`; no buffer where the one before is to be used again. */
  readonly onread: { buffer: () => Uint8Array | null; callback: (count: number, into: Uint8Array) => boolean } = {
    buffer: () => {
      const before = this.#given;
      this.#given = this.#nextBuffer();
      return this.#given === before ? null : this.#given;
    },
    callback: (count) => this.#onRead(count),
  };
  /** Memory of its own: as a part of a slab it would hold all of that. */
  #buffer: Uint8Array<ArrayBuffer> = new Uint8Array(new ArrayBuffer(HEADROOM_BYTES + FIRST_BYTES), HEADROOM_BYTES);
  /** What the runtime reads into. */
  #given: Uint8Array | undefined;
  #used = 0;
  #first = true;
  #large = false;
  #largeBytes = LARGE_BYTES;
  /** Small ones in a row. */
  #smallReads = 0;

  /**
   * Makes a TLS socket read into this memory from now on; what it has read before stays in the socket. Its constructor offers no way, so the
   * fields are set that the runtime's own `onread` option sets; false when this runtime does not have them.
   */
  attach(socket: TLSSocket): boolean {
    const fields = socket as unknown as Record<symbol, unknown> & {
      _handle: { useUserBuffer?: (into: Uint8Array) => void } | null;
    };
    const { kBuffer, kBufferCb, kBufferGen } = ONREAD_FIELDS;
    if (kBuffer === undefined || kBufferCb === undefined || kBufferGen === undefined) return false;
    if (typeof fields._handle?.useUserBuffer !== "function" || fields[kBuffer] !== null) return false;
    this.#largeBytes = LARGE_SECURE_BYTES;
    fields[kBuffer] = this.#given = this.#buffer;
    fields[kBufferCb] = this.onread.callback;
    fields[kBufferGen] = this.onread.buffer;
    fields._handle.useUserBuffer(this.#buffer);
    return true;
  }

  /** Takes back the memory of a chunk that came from here (of any socket) and is not needed by anybody any more. */
  static reuse(bytes: Uint8Array): void {
    const { buffer, byteOffset } = bytes;
    if (byteOffset !== HEADROOM_BYTES || buffer.byteLength !== BUFFER_BYTES) return;
    if (free.length < MAX_FREE) free.push(buffer as ArrayBuffer);
  }

  #onRead(count: number): boolean {
    this.#used = count;
    const bytes = this.#buffer.subarray(0, count);
    const isSmall = count < SMALL_BYTES;
    this.#smallReads = isSmall ? this.#smallReads + 1 : 0;
    // A large buffer is not given away for a few bytes, which the end of a record often is; nor is any buffer for a small message.
    const isMessage = count <= COPIED_BYTES && count < this.#buffer.length;
    const isCopied = isMessage || (this.#large && isSmall);
    if (isCopied) this.#used = 0;
    this.into?.push(isCopied ? copyOf(bytes) : bytes);
    return true;
  }

  /** Large after a read that filled its buffer, small again after a few that would have fitted a small one. */
  #nextBuffer(): Uint8Array {
    const { length } = this.#buffer;
    if (this.#first) {
      this.#first = this.#used === 0;
      if (!this.#first) this.#buffer = allocate(SMALL_BYTES);
    } else if (!this.#large) {
      this.#large = this.#used === length;
      this.#buffer = this.#large ? largeBuffer(this.#largeBytes) : this.#nextSmall(length);
    } else if (this.#smallReads === 0) {
      this.#buffer = largeBuffer(this.#largeBytes);
    } else if (this.#smallReads >= MAX_SMALL_READS) {
      Intake.reuse(this.#buffer);
      this.#large = false;
      this.#buffer = allocate(SMALL_BYTES);
    }
    this.#used = 0;
    return this.#buffer;
  }

  #nextSmall(length: number): Uint8Array<ArrayBuffer> {
    if (this.#used === 0) return this.#buffer;
    const from = this.#used + HEADROOM_BYTES;
    return length - from >= MIN_SMALL_BYTES ? this.#buffer.subarray(from) : allocate(SMALL_BYTES);
  }
}

/** The runtime's own names for the parts of a socket's `onread` option. */
const ONREAD_FIELDS: Readonly<Record<string, symbol | undefined>> = onreadFields();

function onreadFields(): Record<string, symbol> {
  const onread = { buffer: () => new Uint8Array(1), callback: () => true };
  const socket = new Socket({ onread } as SocketConstructorOpts);
  return Object.fromEntries(Object.getOwnPropertySymbols(socket).map((symbol) => [symbol.description ?? "", symbol]));
}

function copyOf(bytes: Uint8Array): Uint8Array {
  const copy = allocate(bytes.length);
  copy.set(bytes);
  return copy;
}

function largeBuffer(length: number): Uint8Array<ArrayBuffer> {
  return new Uint8Array(free.pop() ?? new ArrayBuffer(BUFFER_BYTES), HEADROOM_BYTES, length);
}
