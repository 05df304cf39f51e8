import { Socket, type SocketConstructorOpts } from "node:net";
import type { TLSSocket } from "node:tls";
import { allocate, HEADROOM_BYTES } from "../protocol/allocate.ts";
import { MAX_DATA_PAYLOAD_BYTES } from "../protocol/limits.ts";

/** An idle connection holds no more than this: twenty thousand of them must not hold gigabytes. */
const SMALL_BYTES = 4 * 1024;
/** The rest of a small buffer is read into until less than this is left of it. */
const MIN_SMALL_BYTES = 1024;
/** A busy connection reads as much as one frame carries. */
const LARGE_BYTES = MAX_DATA_PAYLOAD_BYTES;
/** Large buffers kept for reuse in the process, 4 MiB: as many as are between a read and a finished write at once. */
const MAX_FREE = 64;

const free: ArrayBuffer[] = [];

/**
 * The memory that a socket reads into (the `onread` option of `net.Socket`): without it the runtime allocates 64 KiB for every
 * read, however little comes. What was read has {@link HEADROOM_BYTES} in front, so that it can become a frame where it lies.
 */
export class Intake {
  /** Told of every chunk; set by whoever reads. */
  onBytes: (bytes: Uint8Array) => void = () => {};
  /** For `net.Socket`. */
  readonly onread: { buffer: () => Uint8Array; callback: (count: number, into: Uint8Array) => boolean } = {
    buffer: () => this.#nextBuffer(),
    callback: (count) => this.#onRead(count),
  };
  #buffer: Uint8Array<ArrayBuffer> = allocate(SMALL_BYTES);
  #used = 0;
  #large = false;

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
    fields[kBuffer] = this.#buffer;
    fields[kBufferCb] = this.onread.callback;
    fields[kBufferGen] = this.onread.buffer;
    fields._handle.useUserBuffer(this.#buffer);
    return true;
  }

  /** Takes back the memory of a chunk that came from here (of any socket) and is not needed by anybody any more. */
  static reuse(bytes: Uint8Array): void {
    const { buffer, byteOffset } = bytes;
    if (byteOffset !== HEADROOM_BYTES || buffer.byteLength !== HEADROOM_BYTES + LARGE_BYTES) return;
    if (free.length < MAX_FREE) free.push(buffer as ArrayBuffer);
  }

  #onRead(count: number): boolean {
    this.#used = count;
    this.onBytes(this.#buffer.subarray(0, count));
    return true;
  }

  /** Large after a read that filled its buffer, small again after one that would have fitted a small one. */
  #nextBuffer(): Uint8Array {
    const { length } = this.#buffer;
    const filled = this.#used === length;
    if (filled) this.#large = true;
    else if (this.#used < MIN_SMALL_BYTES) this.#large = false;
    this.#buffer = this.#large ? largeBuffer() : this.#nextSmall(length);
    this.#used = 0;
    return this.#buffer;
  }

  #nextSmall(length: number): Uint8Array<ArrayBuffer> {
    const from = this.#used + HEADROOM_BYTES;
    const isSmall = length <= SMALL_BYTES;
    if (this.#used === 0 && isSmall) return this.#buffer;
    return isSmall && length - from >= MIN_SMALL_BYTES ? this.#buffer.subarray(from) : allocate(SMALL_BYTES);
  }
}

/** The runtime's own names for the parts of a socket's `onread` option. */
const ONREAD_FIELDS: Readonly<Record<string, symbol | undefined>> = onreadFields();

function onreadFields(): Record<string, symbol> {
  const onread = { buffer: () => new Uint8Array(1), callback: () => true };
  const socket = new Socket({ onread } as SocketConstructorOpts);
  return Object.fromEntries(Object.getOwnPropertySymbols(socket).map((symbol) => [symbol.description ?? "", symbol]));
}

function largeBuffer(): Uint8Array<ArrayBuffer> {
  return new Uint8Array(free.pop() ?? new ArrayBuffer(HEADROOM_BYTES + LARGE_BYTES), HEADROOM_BYTES);
}
