import { type ClientHello, parseClientHello } from "../protocol/client_hello.ts";
import { MAX_CLIENT_HELLO_BYTES } from "../protocol/limits.ts";
import { concat } from "../protocol/concat.ts";
import type { Duplex, MaybePromise } from "./duplex.ts";

/** What a connection begins with, and the connection as if nothing had been read of it. */
export interface PeekedHello {
  readonly hello: Exclude<ClientHello, { kind: "incomplete" }>;
  readonly duplex: Duplex;
}

/** What was read until it was a ClientHello, or could not become one. */
export interface ReadHello {
  /** `incomplete` when the connection ended before. */
  readonly hello: ClientHello;
  readonly bytes: Uint8Array;
}

/** Reads the ClientHello of a connection, at most 16 KiB. The caller's deadline bounds the time. @throws {StreamResetError} */
export async function readClientHello(duplex: Duplex): Promise<ReadHello> {
  let bytes = new Uint8Array(0);
  for (;;) {
    const next = await duplex.read();
    if (next === null) return { hello: { kind: "incomplete" }, bytes };
    bytes = concat(bytes, next);
    const hello = parseClientHello(bytes);
    if (hello.kind !== "incomplete") return { hello, bytes };
    if (bytes.length >= MAX_CLIENT_HELLO_BYTES) return { hello: { kind: "invalid", reason: "it is too large" }, bytes };
  }
}

/** The same, and puts what was read back in front of the connection. @throws {StreamResetError} */
export async function peekClientHello(duplex: Duplex): Promise<PeekedHello> {
  const { hello, bytes } = await readClientHello(duplex);
  const unread = new Unread(duplex, bytes);
  if (hello.kind !== "incomplete") return { hello, duplex: unread };
  return { hello: { kind: "invalid", reason: "the connection ended before it was complete" }, duplex: unread };
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
