import type { Fields } from "./field.ts";
import { latin1, writeLatin1 } from "./latin1.ts";

const CR = 0x0d;
const LF = 0x0a;
const MAX_SIZE_DIGITS = 8;

/** The most that a chunk needs beside its data: eight digits and two line ends. */
export const CHUNK_OVERHEAD_BYTES: number = MAX_SIZE_DIGITS + 4;

/** The end of a chunked body without trailers. Not to be written to. */
export const LAST_CHUNK: Uint8Array<ArrayBuffer> = new Uint8Array([0x30, CR, LF, CR, LF]);

/** Writes one chunk at `at`: its size, all data, CRLF. Gives the offset behind it, or -1 when it does not fit. */
export function writeChunk(data: readonly Uint8Array[], into: Uint8Array, at: number): number {
  let size = 0;
  for (const piece of data) size += piece.length;
  // An empty chunk would end the body.
  if (size === 0) return at;
  let to = writeLatin1(`${size.toString(16)}\r\n`, into, at);
  if (to < 0 || to + size + 2 > into.length) return -1;
  for (const piece of data) {
    into.set(piece, to);
    to += piece.length;
  }
  into[to] = CR;
  into[to + 1] = LF;
  return to + 2;
}

/** The end of a chunked body as text, with its trailers. */
export function lastChunkText(trailers?: Fields): string {
  return trailers === undefined ? latin1(LAST_CHUNK) : `0\r\n${trailers.toText()}\r\n`;
}
