import { StreamResetError } from "../protocol/errors.ts";
import type { Duplex, MaybePromise } from "./duplex.ts";

/** What is read ahead of whoever reads: TLS gives records of 16 KiB, each with a system call and a promise, and writing them one by one costs more. */
const SLAB_BYTES = 64 * 1024;
/** A slab with less room left than this is given up for a fresh one: small reads share a slab, large ones have one of their own. */
const MIN_ROOM_BYTES = 16 * 1024;

/**
 * A `Deno.Conn` as a {@link Duplex}. Its `reset()` looks like a clean end to the peer, so it is only used between our own
 * processes, where `fin` marks the end of a stream.
 */
export class ConnDuplex implements Duplex {
  readonly closed: Promise<void>;
  readonly #conn: Deno.Conn;
  readonly #onClosed: () => void;
  #slab = new Uint8Array(SLAB_BYTES);
  /** Of the slab: what was read by whoever reads, and what has come. */
  #taken = 0;
  #filled = 0;
  /** Whether a read is under way. */
  #filling = false;
  #ended = false;
  #reader: PromiseWithResolvers<Uint8Array | null> | null = null;
  /** The last write, while it is under way. */
  #lastWrite: Promise<void> | null = null;
  #failure: StreamResetError | null = null;

  constructor(conn: Deno.Conn) {
    this.#conn = conn;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.closed = promise;
    this.#onClosed = resolve;
  }

  get ready(): boolean {
    return this.#filled > this.#taken;
  }

  read(): MaybePromise<Uint8Array | null> {
    if (this.#filled > this.#taken) return this.#take();
    if (this.#failure !== null) throw this.#failure;
    if (this.#ended) return null;
    this.#reader = Promise.withResolvers();
    this.#readOn();
    return this.#reader.promise;
  }

  /** Writes queue behind each other, since a pong may come between the frames of a stream. */
  write(bytes: Uint8Array): MaybePromise<void> {
    if (this.#failure !== null) throw this.#failure;
    const before = this.#lastWrite;
    const write = before === null ? this.#writeAll(bytes) : before.then(() => this.#writeAll(bytes));
    this.#lastWrite = write;
    return write;
  }

  async closeWrite(): Promise<void> {
    await this.#lastWrite;
    if (this.#failure !== null) return;
    try {
      await (this.#conn as Deno.TcpConn).closeWrite();
    } catch {
      // The peer is gone already: there is nobody left to tell.
    }
  }

  reset(reason?: unknown): void {
    this.#end("The connection was reset", reason);
  }

  close(): void {
    this.#end("The connection is closed");
  }

  /** All that has come; what comes next is read meanwhile. */
  #take(): Uint8Array {
    const bytes = this.#slab.subarray(this.#taken, this.#filled);
    this.#taken = this.#filled;
    this.#readOn();
    return bytes;
  }

  #readOn(): void {
    if (!this.#filling && !this.#ended && this.#failure === null) void this.#fill();
  }

  /** Reads on as long as there is room: one slab is all that waits for whoever reads. Never rejects. */
  async #fill(): Promise<void> {
    this.#filling = true;
    try {
      while (!this.#ended && this.#makeRoom()) this.#onRead(await this.#conn.read(this.#slab.subarray(this.#filled)));
    } catch (cause) {
      const failure = this.#fail("The connection was reset", cause);
      this.#reader?.reject(failure);
      this.#reader = null;
    }
    this.#filling = false;
  }

  #makeRoom(): boolean {
    if (SLAB_BYTES - this.#filled >= MIN_ROOM_BYTES) return true;
    if (this.#filled > this.#taken) return false;
    this.#slab = new Uint8Array(SLAB_BYTES);
    this.#taken = this.#filled = 0;
    return true;
  }

  #onRead(count: number | null): void {
    if (this.#failure !== null) return; // It has ended between the read and this moment.
    if (count === null) this.#ended = true;
    else this.#filled += count;
    this.#reader?.resolve(count === null ? null : this.#take());
    this.#reader = null;
  }

  async #writeAll(bytes: Uint8Array): Promise<void> {
    try {
      let at = await this.#conn.write(bytes);
      while (at < bytes.length) at += await this.#conn.write(bytes.subarray(at));
    } catch (cause) {
      throw this.#fail("The connection was reset", cause);
    }
  }

  /** By ourselves: what has come is of no interest any more. */
  #end(message: string, cause?: unknown): void {
    this.#fail(message, cause);
    this.#taken = this.#filled;
  }

  #fail(message: string, cause?: unknown): StreamResetError {
    if (this.#failure !== null) return this.#failure;
    this.#failure = new StreamResetError(message, { cause });
    try {
      this.#conn.close();
    } catch {
      // Closed by the runtime after a failed operation.
    }
    this.#onClosed();
    return this.#failure;
  }
}
