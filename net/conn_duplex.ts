import { StreamResetError } from "../protocol/errors.ts";
import type { Duplex, MaybePromise } from "./duplex.ts";

/** Bytes per read; larger buffers do not read faster. */
const SLAB_BYTES = 64 * 1024;
/** A slab with less room left than this is given up for a fresh one: small reads share a slab, large ones have one of their own. */
const MIN_ROOM_BYTES = 48 * 1024;

/**
 * A `Deno.Conn` as a {@link Duplex}. Its `reset()` looks like a clean end to the peer, so it is only used between our own
 * processes, where `fin` marks the end of a stream.
 */
export class ConnDuplex implements Duplex {
  readonly closed: Promise<void>;
  readonly #conn: Deno.Conn;
  readonly #onClosed: () => void;
  #slab = new Uint8Array(SLAB_BYTES);
  #slabAt = 0;
  /** The last write, while it is under way. */
  #lastWrite: Promise<void> | null = null;
  #failure: StreamResetError | null = null;

  constructor(conn: Deno.Conn) {
    this.#conn = conn;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.closed = promise;
    this.#onClosed = resolve;
  }

  async read(): Promise<Uint8Array | null> {
    if (this.#failure !== null) throw this.#failure;
    if (SLAB_BYTES - this.#slabAt < MIN_ROOM_BYTES) {
      this.#slab = new Uint8Array(SLAB_BYTES);
      this.#slabAt = 0;
    }
    const at = this.#slabAt;
    try {
      const count = await this.#conn.read(at === 0 ? this.#slab : this.#slab.subarray(at));
      if (count === null) return null;
      this.#slabAt = at + count;
      return this.#slab.subarray(at, at + count);
    } catch (cause) {
      throw this.#fail("The connection was reset", cause);
    }
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
    this.#fail("The connection was reset", reason);
  }

  close(): void {
    this.#fail("The connection is closed");
  }

  async #writeAll(bytes: Uint8Array): Promise<void> {
    try {
      let at = await this.#conn.write(bytes);
      while (at < bytes.length) at += await this.#conn.write(bytes.subarray(at));
    } catch (cause) {
      throw this.#fail("The connection was reset", cause);
    }
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
