import { type ClientHello, parseClientHello } from "../protocol/client_hello.ts";
import { MAX_CLIENT_HELLO_BYTES } from "../protocol/limits.ts";
import type { Duplex, MaybePromise } from "./duplex.ts";

/** What a connection begins with, and the connection as if nothing had been read of it. */
export interface PeekedHello {
  readonly hello: Exclude<ClientHello, { kind: "incomplete" }>;
  readonly duplex: Duplex;
}

/** Reads the ClientHello of a connection, at most 16 KiB. The caller's deadline bounds the time. @throws {StreamResetError} */
export async function peekClientHello(duplex: Duplex): Promise<PeekedHello> {
  let peeked = new Uint8Array(0);
  for (;;) {
    const bytes = await duplex.read();
    if (bytes !== null) peeked = concat(peeked, bytes);
    const hello = parseClientHello(peeked);
    if (hello.kind !== "incomplete") return { hello, duplex: new Unread(duplex, peeked) };
    if (bytes === null || peeked.length >= MAX_CLIENT_HELLO_BYTES) {
      const reason = bytes === null ? "the connection ended before it was complete" : "it is too large";
      return { hello: { kind: "invalid", reason }, duplex: new Unread(duplex, peeked) };
    }
  }
}

/** A connection of which some bytes were read too early. */
class Unread implements Duplex {
  readonly closed: Promise<void>;
  readonly #duplex: Duplex;
  #first: Uint8Array | undefined;

  constructor(duplex: Duplex, first: Uint8Array) {
    this.#duplex = duplex;
    this.#first = first.length > 0 ? first : undefined;
    this.closed = duplex.closed;
  }

  get ready(): boolean {
    return this.#first !== undefined || this.#duplex.ready === true;
  }

  read(): MaybePromise<Uint8Array | null> {
    const first = this.#first;
    if (first === undefined) return this.#duplex.read();
    this.#first = undefined;
    return first;
  }

  write(bytes: Uint8Array, headroom?: number): MaybePromise<void> {
    return this.#duplex.write(bytes, headroom);
  }

  closeWrite(): MaybePromise<void> {
    return this.#duplex.closeWrite();
  }

  reset(reason?: unknown): void {
    this.#first = undefined;
    this.#duplex.reset(reason);
  }

  close(): void {
    this.#duplex.close();
  }
}

function concat(a: Uint8Array, b: Uint8Array): Uint8Array<ArrayBuffer> {
  const whole = new Uint8Array(a.length + b.length);
  whole.set(a);
  whole.set(b, a.length);
  return whole;
}
