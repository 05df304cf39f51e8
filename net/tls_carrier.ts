import { EventEmitter } from "node:events";
import { Deadline } from "./deadline.ts";
import type { Duplex } from "./duplex.ts";

/** A peer that was told of the end gets so long to end as well. */
const LINGER_MS = 5_000;
/** What such a peer may still send. */
const MAX_LINGER_BYTES = 256 * 1024;

/**
 * The encrypted side of TLS over any connection: the part of a node stream that the runtime's TLS uses, made of a {@link Duplex}. It
 * reads only while it is wanted, and a write is done when the connection takes more. Unlike a stream it outlives its destruction by
 * the runtime, which destroys before it writes the alert.
 */
export class TlsCarrier extends EventEmitter {
  /** For the runtime. */
  readonly readable = true;
  readonly writable = true;
  readonly allowHalfOpen = true;
  readonly closed: Promise<void>;
  /** Whether the connection ended beneath: a TLS end that is seen only now had no close_notify. */
  ended = false;
  readonly #duplex: Duplex;
  /** Wanted by the runtime; it begins before it is able to take bytes. */
  #wanted = false;
  #started = false;
  #destroyed = false;
  #held = false;
  #discardLeft = 0;
  #reading: Promise<void> | null = null;
  #written: Promise<void> | null = null;
  #lingering: Promise<void> | null = null;

  constructor(duplex: Duplex) {
    super();
    this.#duplex = duplex;
    this.closed = duplex.closed;
    // Bytes that are there before the runtime has begun its handshake would make it throw, where nobody can catch it.
    setImmediate(() => {
      this.#started = true;
      this.#read();
    });
  }

  /** For the runtime: bytes are wanted. */
  resume(): void {
    this.#wanted = true;
    this.#read();
  }

  /** For the runtime: none are wanted. */
  pause(): void {
    this.#wanted = false;
  }

  /** No more bytes are read until `release()`, whatever the runtime wants: it has no back-pressure of its own. */
  hold(): void {
    this.#held = true;
  }

  /** Reading goes on. */
  release(): void {
    if (!this.#held) return;
    this.#held = false;
    this.#read();
  }

  /** For the runtime. */
  cork(): void {}

  /** For the runtime. */
  uncork(): void {}

  /** For the runtime: sends bytes, and says when the connection takes more. */
  write(bytes: Uint8Array, done: (error?: unknown) => void): void {
    let written: Promise<void> | void;
    try {
      written = this.#written === null ? this.#duplex.write(bytes) : this.#writeAfter(this.#written, bytes);
    } catch (error) {
      return done(error);
    }
    if (!(written instanceof Promise)) return done();
    const settled = written.catch(() => {
      // Whoever asked for the write is told below.
    });
    this.#written = settled;
    settled.then(() => {
      if (this.#written === settled) this.#written = null;
    });
    written.then(() => done(), done);
  }

  /** Ends our direction, once all that the runtime has to say was written. */
  end(done: (error?: unknown) => void = () => {}): void {
    this.#sayEnd().then(() => done(), done);
  }

  /** For the runtime, which is done with us; what becomes of the connection is decided by its owner. */
  destroy(): void {
    this.#destroyed = true;
    queueMicrotask(() => this.emit("close"));
  }

  /** Ends the connection without destroying what is on its way, and waits a little for the peer's end; then closes it. Never rejects. */
  finish(): Promise<void> {
    this.#lingering ??= this.#linger();
    return this.#lingering;
  }

  /** Resets the connection. */
  reset(reason?: unknown): void {
    this.#duplex.reset(reason);
  }

  #read(): void {
    if (this.#reading !== null || !this.#goesOn()) return;
    this.#reading = this.#readOn().finally(() => {
      this.#reading = null;
      // It may have been wanted again while the last one settled.
      this.#read();
    });
  }

  #goesOn(): boolean {
    if (this.ended || !this.#started) return false;
    return this.#discardLeft > 0 || (this.#wanted && !this.#held && !this.#unheard);
  }

  /** Whether the runtime has no more use for what comes. */
  get #unheard(): boolean {
    return this.#destroyed || this.#lingering !== null;
  }

  async #readOn(): Promise<void> {
    try {
      while (this.#goesOn()) {
        const next = this.#duplex.read();
        const bytes = next instanceof Promise ? await next : next;
        if (this.#unheard) this.#discard(bytes);
        else if (bytes === null) this.#onEnd();
        else this.emit("data", bytes);
      }
    } catch (error) {
      this.ended = true;
      if (!this.#unheard) this.emit("error", error);
    }
  }

  #discard(bytes: Uint8Array | null): void {
    if (bytes === null) this.ended = true;
    else this.#discardLeft -= bytes.length;
  }

  #onEnd(): void {
    this.ended = true;
    this.emit("end");
  }

  async #writeAfter(before: Promise<void>, bytes: Uint8Array): Promise<void> {
    await before;
    await this.#duplex.write(bytes);
  }

  /** The runtime hands over what it has to say last, an alert or close_notify, only a little after it says that it has done so. */
  async #sayEnd(): Promise<void> {
    do {
      await this.#written;
      await new Promise<void>((resolve) => setImmediate(resolve));
    } while (this.#written !== null);
    await this.#duplex.closeWrite();
  }

  async #linger(): Promise<void> {
    this.#discardLeft = MAX_LINGER_BYTES;
    using _deadline = new Deadline(LINGER_MS, () => this.#duplex.reset());
    try {
      await this.#sayEnd();
      this.#started = true;
      this.#read();
      await this.#reading;
    } catch {
      // The peer was faster: it is closed.
    }
    this.#duplex.close();
  }
}
