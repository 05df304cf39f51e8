import { MAX_DATA_PAYLOAD_BYTES } from "../protocol/limits.ts";

/** A value, or a promise of it: hot paths skip the microtask when the value is at hand. */
export type MaybePromise<T> = T | Promise<T>;

/** Most that {@link Duplex.writeAll} takes at once: the payload of one frame. */
export const JOIN_BYTES: number = MAX_DATA_PAYLOAD_BYTES;

/** A write of at least so much settles only when its bytes are not needed any more; smaller ones may settle earlier. */
export const BULK_BYTES = 16 * 1024;

/**
 * One connection, whatever carries it: TCP, TLS, unix socket, tunnel stream, memory. `pipe()` joins any two.
 *
 * Ends in exactly one of two ways: cleanly (`read()` gives `null` after the last byte) or by a reset (`read()` and `write()`
 * throw `StreamResetError`). A short transfer never looks complete.
 */
export interface Duplex {
  /** The next bytes (never empty), or `null` at the peer's clean end. One read at a time. The bytes belong to the caller and are never reused by the connection. */
  read(): MaybePromise<Uint8Array | null>;
  /**
   * Resolves when more may be written: this is the back-pressure. One write at a time. The bytes belong to the connection from
   * here on: never change them afterwards, unless they are {@link BULK_BYTES} or more and the write has settled. So do the `headroom` bytes in front of them, which a frame header may be written to.
   */
  write(bytes: Uint8Array, headroom?: number): MaybePromise<void>;
  /** Whether `read()` most likely gives something without waiting. */
  readonly ready?: boolean;
  /** Writes several pieces as one; settles when none of them is needed any more. */
  writeAll?(pieces: readonly Uint8Array[], length: number): MaybePromise<void>;
  /** Bytes in front of what `read()` gives that may be passed on as the `headroom` of a write. @default 0 */
  readonly headroom?: number;
  /** Gives back what `read()` gave, once a write of it has settled and nobody else holds it: its memory is read into again. */
  reuse?(bytes: Uint8Array): void;
  /** Half-close: no more writes; reading goes on. Settles when the end was sent. Idempotent. */
  closeWrite(): MaybePromise<void>;
  /** Ends both directions at once so that the peer sees an abort (TCP RST). Idempotent; never throws. */
  reset(reason?: unknown): void;
  /** Releases everything; after both directions have ended cleanly nothing is lost, before that it is a reset. Idempotent; never throws. */
  close(): void;
  /** Settles (never rejects) when the connection is gone, whoever ended it. */
  readonly closed: Promise<void>;
}

/** A connection to which bytes that were read too early can be given back. */
export interface PushbackDuplex extends Duplex {
  /** Puts bytes that were read back in front; while nobody reads. */
  unread(bytes: Uint8Array): void;
}
