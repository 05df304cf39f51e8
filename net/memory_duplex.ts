import { StreamResetError } from "../protocol/errors.ts";
import type { Duplex, MaybePromise } from "./duplex.ts";

/** How the two ends of {@link memoryPair} behave. */
export interface MemoryPairOptions {
  /** Bytes that may wait unread in each direction; a write of more waits. @default 65_536 */
  highWaterMark?: number;
  /** The most that one `read()` gives: 1 finds every wrong assumption about splits. @default no limit */
  maxRead?: number;
  /** Whether bytes that were read stay as they are, which outside of tests they must; else they are overwritten at the next read. @default false */
  keep?: boolean;
}

const DEFAULT_HIGH_WATER_MARK_BYTES = 65_536;
/** Written over bytes that were read, at the next read: a test sees at once who kept a view of what it was only to look at. */
const POISON = 0xdb;

/** Two ends of a connection inside this process: bounded, with half-close and reset, for tests and loopback streams. */
export function memoryPair(options: MemoryPairOptions = {}): [Duplex, Duplex] {
  const there = new Direction(options);
  const back = new Direction(options);
  return [new MemoryDuplex(back, there), new MemoryDuplex(there, back)];
}

class MemoryDuplex implements Duplex {
  readonly closed: Promise<void>;
  readonly #incoming: Direction;
  readonly #outgoing: Direction;

  constructor(incoming: Direction, outgoing: Direction) {
    this.#incoming = incoming;
    this.#outgoing = outgoing;
    this.closed = Promise.all([incoming.over, outgoing.over]).then(() => undefined);
  }

  read(): MaybePromise<Uint8Array | null> {
    return this.#incoming.read();
  }

  write(bytes: Uint8Array): MaybePromise<void> {
    return this.#outgoing.write(bytes);
  }

  closeWrite(): void {
    this.#outgoing.end();
  }

  reset(reason?: unknown): void {
    const error = reason instanceof StreamResetError ? reason : new StreamResetError(undefined, { cause: reason });
    this.#outgoing.fail(error);
    this.#incoming.fail(error);
  }

  close(): void {
    if (!this.#outgoing.ended || !this.#incoming.drained) this.reset();
  }
}

interface Waiting<T> {
  resolve(value: T): void;
  reject(error: unknown): void;
}

interface WaitingWrite extends Waiting<void> {
  rest: Uint8Array;
}

/** The bytes that go one way. */
class Direction {
  /** Settles when this direction has ended: its end was read, or it was reset. */
  readonly over: Promise<void>;
  ended = false;
  readonly #highWaterMark: number;
  readonly #maxRead: number;
  readonly #keep: boolean;
  readonly #queue: Uint8Array[] = [];
  #queued = 0;
  #given: Uint8Array | undefined;
  #error: StreamResetError | undefined;
  #reader: Waiting<Uint8Array | null> | undefined;
  #writer: WaitingWrite | undefined;
  #finish: () => void = () => {};

  constructor({ highWaterMark = DEFAULT_HIGH_WATER_MARK_BYTES, maxRead = Infinity, keep = false }: MemoryPairOptions) {
    this.#keep = keep;
    this.#highWaterMark = highWaterMark;
    this.#maxRead = maxRead;
    this.over = new Promise((resolve) => this.#finish = resolve);
  }

  /** Whether the end was reached and nothing waits to be read. */
  get drained(): boolean {
    return this.ended && this.#queued === 0;
  }

  read(): MaybePromise<Uint8Array | null> {
    if (this.#reader !== undefined) throw new TypeError("Cannot read: another read is under way");
    if (!this.#keep) this.#given?.fill(POISON);
    this.#given = undefined;
    if (this.#error !== undefined) throw this.#error;
    if (this.#queued > 0) return this.#take();
    if (this.ended) {
      this.#finish();
      return null;
    }
    return new Promise((resolve, reject) => this.#reader = { resolve, reject });
  }

  write(bytes: Uint8Array): MaybePromise<void> {
    if (this.#writer !== undefined) throw new TypeError("Cannot write: another write is under way");
    if (this.#error !== undefined) throw this.#error;
    if (this.ended) throw new TypeError("Cannot write after the end");
    const taken = this.#put(bytes);
    if (taken === bytes.length) return;
    return new Promise((resolve, reject) => this.#writer = { resolve, reject, rest: bytes.subarray(taken) });
  }

  end(): void {
    if (this.ended || this.#error !== undefined) return;
    if (this.#writer !== undefined) throw new TypeError("Cannot end: a write is under way");
    this.ended = true;
    const reader = this.#reader;
    if (reader === undefined) return;
    this.#reader = undefined;
    this.#finish();
    reader.resolve(null);
  }

  fail(error: StreamResetError): void {
    if (this.#error !== undefined) return;
    this.#error = error;
    this.#queue.length = 0;
    this.#queued = 0;
    this.#reader?.reject(error);
    this.#writer?.reject(error);
    this.#reader = this.#writer = undefined;
    this.#finish();
  }

  /** Takes what there is room for; a waiting reader makes room at once. */
  #put(bytes: Uint8Array): number {
    let taken = 0;
    while (taken < bytes.length && this.#queued < this.#highWaterMark) {
      const piece = bytes.slice(taken, taken + this.#highWaterMark - this.#queued);
      this.#queue.push(piece);
      this.#queued += piece.length;
      taken += piece.length;
      const reader = this.#reader;
      this.#reader = undefined;
      reader?.resolve(this.#take());
    }
    return taken;
  }

  #take(): Uint8Array {
    const first = this.#queue.shift() ?? new Uint8Array(0);
    const piece = first.length > this.#maxRead ? first.slice(0, this.#maxRead) : first;
    if (piece !== first) this.#queue.unshift(first.subarray(piece.length));
    this.#queued -= piece.length;
    this.#given = piece;
    this.#resume();
    return piece;
  }

  #resume(): void {
    const writer = this.#writer;
    if (writer === undefined) return;
    writer.rest = writer.rest.subarray(this.#put(writer.rest));
    if (writer.rest.length > 0) return;
    this.#writer = undefined;
    writer.resolve();
  }
}
