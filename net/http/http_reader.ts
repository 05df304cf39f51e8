import { CodedError } from "../../protocol/errors.ts";
import type { BodyDecoder } from "../../protocol/http/body_decoder.ts";
import { CUT } from "../../protocol/http/body_decoder.ts";
import { type HeadKind, MALFORMED, refuseTooLarge } from "../../protocol/http/head.ts";
import { latin1 } from "../../protocol/http/latin1.ts";
import type { Duplex, MaybePromise } from "../duplex.ts";

const CR = 0x0d;
const LF = 0x0a;
const EMPTY: Uint8Array = new Uint8Array(0);
const NO_PIECES: readonly Uint8Array[] = [];

/** The pieces are views that are valid until the next call. */
export type BodyPieces = readonly Uint8Array[] | null;

/**
 * Reads messages from a duplex. What came too early (a pipelined request, the first bytes of an upgraded protocol) stays unread
 * in here: never more than one `read()` of the duplex gives.
 */
export class HttpReader {
  readonly #duplex: Duplex;
  readonly #kind: HeadKind;
  readonly #onPartialHead: () => void;
  /** Unread bytes: a view that the duplex lent, or our own copy of an unfinished head. */
  #bytes: Uint8Array = EMPTY;
  #own: Uint8Array = EMPTY;

  /** `onPartialHead` is told once for each head that came, but not whole: the idle time is over. */
  constructor(duplex: Duplex, kind: HeadKind, onPartialHead: () => void = nothing) {
    this.#duplex = duplex;
    this.#kind = kind;
    this.#onPartialHead = onPartialHead;
  }

  /** Number of bytes that have come and were not read. */
  get buffered(): number {
    return this.#bytes.length;
  }

  /**
   * The next head as text with its empty line, or `null` at a clean end between messages.
   * @throws {CodedError} when it cannot become a head, is too large or was cut; what the duplex throws.
   */
  readHead(): MaybePromise<string | null> {
    const head = this.#bytes.length > 0 ? this.#takeHead(0) : undefined;
    return head ?? this.#readHead();
  }

  /** The next bytes of a body, or `null` when it is complete; throws what the decoder and the duplex throw. */
  readBody(decoder: BodyDecoder): MaybePromise<BodyPieces> {
    const pieces = this.#feed(decoder);
    if (pieces.length > 0) return pieces;
    return decoder.done ? null : this.#readBody(decoder);
  }

  /** Takes what has come and was not read: the start of another protocol. Valid until the next read of the duplex. */
  rest(): Uint8Array {
    const rest = this.#bytes;
    this.#bytes = EMPTY;
    return rest;
  }

  async #readHead(): Promise<string | null> {
    for (let told = false;;) {
      const kept = this.#keep();
      if (kept > 0 && !told) {
        told = true;
        this.#onPartialHead();
      }
      const next = this.#duplex.read();
      const bytes = next instanceof Promise ? await next : next;
      if (bytes === null) {
        if (kept === 0) return null;
        throw new CodedError(CUT[this.#kind], "The connection ended inside a head");
      }
      this.#bytes = kept === 0 ? bytes : this.#append(kept, bytes);
      const head = this.#takeHead(Math.max(0, kept - 3));
      if (head !== undefined) return head;
    }
  }

  /** Looks for the end of a head in what is there, from where it was not yet looked for. */
  #takeHead(from: number): string | undefined {
    if (this.#kind === "request") from = this.#skipEmptyLine(from);
    const end = endOfHead(this.#bytes, from);
    if (end < 0) {
      this.#refuseHopeless(from);
      return undefined;
    }
    const text = latin1(this.#bytes, 0, end);
    this.#bytes = end === this.#bytes.length ? EMPTY : this.#bytes.subarray(end);
    if (this.#bytes === EMPTY) this.#own = EMPTY;
    return text;
  }

  /** Old clients send an empty line behind a body (RFC 9112 2.2). */
  #skipEmptyLine(from: number): number {
    if (from > 0 || this.#bytes[0] !== CR || this.#bytes[1] !== LF) return from;
    this.#bytes = this.#bytes.subarray(2);
    return 0;
  }

  /** What can never become a head is refused at once, not after a timeout. */
  #refuseHopeless(from: number): void {
    const bytes = this.#bytes;
    const first = bytes[0];
    if (first === undefined) return;
    const hopeless = this.#kind === "request"
      ? first !== CR && (first <= 0x20 || first >= 0x7f)
      : !"HTTP/1.".startsWith(latin1(bytes, 0, Math.min(7, bytes.length)));
    if (hopeless) throw new CodedError(MALFORMED[this.#kind], "This is not HTTP/1.1");
    for (let at = bytes.indexOf(LF, from); at >= 0; at = bytes.indexOf(LF, at + 1)) {
      if (bytes[at - 1] !== CR) throw new CodedError(MALFORMED[this.#kind], "A line does not end in CRLF");
    }
    refuseTooLarge(this.#kind, latin1(bytes));
  }

  /** Copies unread bytes out of the view that the next read makes invalid; gives their number. */
  #keep(): number {
    const { length } = this.#bytes;
    if (length === 0 || this.#bytes.buffer === this.#own.buffer) return length;
    this.#own = new Uint8Array(Math.max(2 * length, 1024));
    this.#own.set(this.#bytes);
    this.#bytes = this.#own.subarray(0, length);
    return length;
  }

  #append(kept: number, bytes: Uint8Array): Uint8Array {
    const length = kept + bytes.length;
    if (length > this.#own.length || this.#bytes.byteOffset > 0) {
      const grown = new Uint8Array(2 * length);
      grown.set(this.#bytes);
      this.#own = grown;
    }
    this.#own.set(bytes, kept);
    return this.#own.subarray(0, length);
  }

  #feed(decoder: BodyDecoder): readonly Uint8Array[] {
    if (this.#bytes.length === 0 || decoder.done) return NO_PIECES;
    const used = decoder.feed(this.#bytes);
    this.#bytes = used === this.#bytes.length ? EMPTY : this.#bytes.subarray(used);
    return decoder.pieces;
  }

  async #readBody(decoder: BodyDecoder): Promise<BodyPieces> {
    for (;;) {
      const next = this.#duplex.read();
      const bytes = next instanceof Promise ? await next : next;
      if (bytes === null) {
        decoder.end();
        return null;
      }
      this.#bytes = bytes;
      const pieces = this.#feed(decoder);
      if (pieces.length > 0) return pieces;
      if (decoder.done) return null;
    }
  }
}

function nothing(): void {}

/** The offset behind the first CRLF CRLF, or -1. Most bytes are looked at only every fourth: four times faster than `indexOf`. */
function endOfHead(bytes: Uint8Array, from: number): number {
  const { length } = bytes;
  let at = from + 3;
  while (at < length) {
    const byte = bytes[at] as number;
    if (byte === LF) {
      if (bytes[at - 1] === CR && bytes[at - 2] === LF && bytes[at - 3] === CR) return at + 1;
      at += 2;
    } else {
      at += byte === CR ? 1 : 4;
    }
  }
  return -1;
}
