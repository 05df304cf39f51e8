import type { MaybePromise } from "./duplex.ts";

/** How much may be unread. */
export interface ReadLevels {
  /** Unread bytes at which the source is held. */
  readonly highBytes: number;
  /** Unread bytes at which it is released after that. */
  readonly lowBytes: number;
}

/** Where the bytes come from. */
export interface ReadSource {
  /** No more bytes are to come. */
  hold(): void;
  /** Bytes are welcome again. */
  release(): void;
}

/** What has come on a connection and was not read yet, or whoever waits to read it. */
export class ReadQueue {
  readonly #levels: ReadLevels;
  readonly #source: ReadSource;
  readonly #chunks: Uint8Array[] = [];
  #bytes = 0;
  #held = false;
  #reader: PromiseWithResolvers<Uint8Array | null> | null = null;
  #ended = false;
  #failure: Error | null = null;

  constructor(levels: ReadLevels, source: ReadSource) {
    this.#levels = levels;
    this.#source = source;
  }

  /** Whether there is something to read. */
  get ready(): boolean {
    return this.#chunks.length > 0;
  }

  /** Whether nothing more comes. */
  get ended(): boolean {
    return this.#ended;
  }

  /** The next bytes; `null` at the end. What came before a failure is read before it is thrown. */
  read(): MaybePromise<Uint8Array | null> {
    const bytes = this.#chunks.shift();
    if (bytes !== undefined) {
      this.#bytes -= bytes.length;
      if (this.#held && this.#bytes <= this.#levels.lowBytes) this.#release();
      return bytes;
    }
    if (this.#failure !== null) throw this.#failure;
    if (this.#ended) return null;
    this.#reader = Promise.withResolvers();
    return this.#reader.promise;
  }

  /** Bytes have come. */
  push(bytes: Uint8Array): void {
    if (this.#reader !== null) {
      const { resolve } = this.#reader;
      this.#reader = null;
      return resolve(bytes);
    }
    this.#chunks.push(bytes);
    this.#bytes += bytes.length;
    if (this.#bytes < this.#levels.highBytes || this.#held) return;
    this.#held = true;
    this.#source.hold();
  }

  /** Puts bytes that were read back in front; while nobody reads. */
  unread(bytes: Uint8Array): void {
    this.#chunks.unshift(bytes);
    this.#bytes += bytes.length;
  }

  /** The end has come. */
  end(): void {
    this.#ended = true;
    this.#reader?.resolve(null);
    this.#reader = null;
  }

  /** Nothing more comes, for this reason; the first one counts. */
  fail(error: Error): void {
    this.#failure ??= error;
    this.#reader?.reject(this.#failure);
    this.#reader = null;
  }

  /** Takes all that was not read. */
  takeAll(): Uint8Array[] {
    this.#bytes = 0;
    return this.#chunks.splice(0);
  }

  #release(): void {
    this.#held = false;
    this.#source.release();
  }
}
