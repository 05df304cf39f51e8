import { CodedError } from "../errors.ts";
import { type BodyDecoder, CUT } from "./body_decoder.ts";
import type { Fields } from "./field.ts";
import { parseFieldLines } from "./field_lines.ts";
import { type HeadKind, MALFORMED } from "./head.ts";
import {
  MAX_CHUNK_EXTENSION_BYTES,
  MAX_CHUNK_EXTENSIONS_TOTAL_BYTES,
  MAX_CHUNK_SIZE_DIGITS,
  MAX_TRAILER_BYTES,
} from "./limits.ts";

const CR = 0x0d;
const LF = 0x0a;
const NO_PIECES: readonly Uint8Array[] = [];
/** `;name`, `;name=token` or `;name="quoted"`, with optional white space around the marks (RFC 9112 7.1.1). */
const EXTENSIONS =
  /^(?:[ \t]*;[ \t]*[!#$%&'*+\-.^_`|~0-9A-Za-z]+(?:[ \t]*=[ \t]*(?:[!#$%&'*+\-.^_`|~0-9A-Za-z]+|"(?:[^"\\]|\\.)*"))?)*$/;

type State = "size" | "extension" | "size-lf" | "data" | "data-cr" | "data-lf" | "trailers" | "done";

/** Chunked transfer coding, strictly (RFC 9112 7.1): CRLF only, extensions checked and dropped. Any split gives the same result. */
export class ChunkedDecoder implements BodyDecoder {
  pieces: readonly Uint8Array[] = NO_PIECES;
  trailers: Fields | undefined = undefined;
  #state: State = "size";
  #found: Uint8Array[] = [];
  #size = 0;
  #digits = 0;
  #extension = "";
  #extensionsTotal = 0;
  #trailerText = "";
  readonly #kind: HeadKind;

  constructor(kind: HeadKind) {
    this.#kind = kind;
  }

  get done(): boolean {
    return this.#state === "done";
  }

  feed(bytes: Uint8Array): number {
    this.#found = [];
    let at = 0;
    while (at < bytes.length && this.#state !== "done") at = this.#advance(bytes, at);
    this.pieces = this.#found;
    return at;
  }

  end(): void {
    if (this.done) return;
    throw new CodedError(CUT[this.#kind], "The chunked body ended before its last chunk");
  }

  #advance(bytes: Uint8Array, at: number): number {
    switch (this.#state) {
      case "size":
        return this.#readSize(bytes, at);
      case "extension":
        return this.#readExtension(bytes, at);
      case "size-lf":
        this.#expect(bytes[at], LF, "A chunk size does not end in CRLF");
        this.#state = this.#size === 0 ? "trailers" : "data";
        return at + 1;
      case "data":
        return this.#readData(bytes, at);
      case "data-cr":
        this.#expect(bytes[at], CR, "A chunk is longer than its size");
        this.#state = "data-lf";
        return at + 1;
      case "data-lf":
        this.#expect(bytes[at], LF, "A chunk does not end in CRLF");
        this.#startSize();
        return at + 1;
      default:
        return this.#readTrailers(bytes, at);
    }
  }

  #startSize(): void {
    this.#state = "size";
    this.#size = 0;
    this.#digits = 0;
  }

  #readSize(bytes: Uint8Array, at: number): number {
    for (; at < bytes.length; at++) {
      const byte = bytes[at] as number;
      const digit = hexDigit(byte);
      if (digit < 0) {
        if (this.#digits === 0) throw this.#fault("A chunk has no size");
        if (this.#size > Number.MAX_SAFE_INTEGER) throw this.#fault("A chunk size is too large");
        this.#state = byte === CR ? "size-lf" : "extension";
        return byte === CR ? at + 1 : at;
      }
      if (++this.#digits > MAX_CHUNK_SIZE_DIGITS) throw this.#fault("A chunk size is too large");
      this.#size = this.#size * 16 + digit;
    }
    return at;
  }

  #readExtension(bytes: Uint8Array, at: number): number {
    for (; at < bytes.length; at++) {
      const byte = bytes[at] as number;
      if (byte === CR) {
        if (!EXTENSIONS.test(this.#extension)) throw this.#fault("A chunk size is malformed");
        this.#extension = "";
        this.#state = "size-lf";
        return at + 1;
      }
      if ((byte < 0x20 && byte !== 0x09) || byte === 0x7f) throw this.#fault("A chunk size has control characters");
      this.#extension += String.fromCharCode(byte);
      this.#extensionsTotal++;
      if (
        this.#extension.length > MAX_CHUNK_EXTENSION_BYTES || this.#extensionsTotal > MAX_CHUNK_EXTENSIONS_TOTAL_BYTES
      ) {
        throw this.#fault("The chunk extensions are too large");
      }
    }
    return at;
  }

  #readData(bytes: Uint8Array, at: number): number {
    const end = Math.min(bytes.length, at + this.#size);
    this.#found.push(bytes.subarray(at, end));
    this.#size -= end - at;
    if (this.#size === 0) this.#state = "data-cr";
    return end;
  }

  #readTrailers(bytes: Uint8Array, at: number): number {
    while (at < bytes.length) {
      const byte = bytes[at++] as number;
      this.#trailerText += String.fromCharCode(byte);
      if (this.#trailerText.length > MAX_TRAILER_BYTES) throw this.#fault("The trailers are too large");
      if (byte !== LF) continue;
      if (this.#trailerText === "\r\n") return this.#finish(at);
      if (this.#trailerText.endsWith("\r\n\r\n")) {
        const malformed = MALFORMED[this.#kind];
        this.trailers = parseFieldLines(this.#trailerText, 0, { malformed, tooMany: malformed });
        return this.#finish(at);
      }
      if (!this.#trailerText.endsWith("\r\n")) throw this.#fault("A trailer line does not end in CRLF");
    }
    return at;
  }

  #finish(at: number): number {
    this.#state = "done";
    return at;
  }

  #expect(byte: number | undefined, wanted: number, fault: string): void {
    if (byte !== wanted) throw this.#fault(fault);
  }

  #fault(message: string): CodedError {
    return new CodedError(MALFORMED[this.#kind], message);
  }
}

function hexDigit(byte: number): number {
  if (byte >= 0x30 && byte <= 0x39) return byte - 0x30;
  const lower = byte | 0x20;
  return lower >= 0x61 && lower <= 0x66 ? lower - 0x57 : -1;
}
