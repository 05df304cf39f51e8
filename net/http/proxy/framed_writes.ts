import { allocate } from "../../../protocol/allocate.ts";
import { CHUNK_OVERHEAD_BYTES, lastChunkText, writeChunk } from "../../../protocol/http/chunk_encoder.ts";
import type { Fields } from "../../../protocol/http/field.ts";
import { writeLatin1 } from "../../../protocol/http/latin1.ts";
import { latin1Bytes } from "../../../protocol/http/serialise.ts";

/** Up to here copying pieces together is cheaper than another write (a record, a frame, a packet). */
const JOIN_BYTES = 16 * 1024;
const NO_PIECES: readonly Uint8Array[] = [];

/** What goes out next. */
export interface Outgoing {
  /** A head that was not sent yet. */
  readonly head: string | undefined;
  /** Data of the body; `null` when there is no more. */
  readonly pieces: readonly Uint8Array[] | null;
  readonly chunked: boolean;
  /** Whether the body ends with this. */
  readonly end: boolean;
  readonly trailers: Fields | undefined;
}

/** The buffers to write for it, as few as is sensible; data that is not chunked and not small is passed on without a copy. */
export function framedWrites({ head, pieces, chunked, end, trailers }: Outgoing): readonly Uint8Array[] {
  const data = pieces ?? NO_PIECES;
  if (chunked) return [chunkedBuffer(head ?? "", { data, tail: end ? lastChunkText(trailers) : "" })];
  if (head === undefined) return data;
  let size = head.length;
  for (const piece of data) size += piece.length;
  return size > JOIN_BYTES ? [latin1Bytes(head), ...data] : [joined(head, { data, size })];
}

function joined(head: string, { data, size }: { data: readonly Uint8Array[]; size: number }): Uint8Array {
  const buffer = allocate(size);
  let at = writeLatin1(head, buffer, 0);
  for (const piece of data) {
    buffer.set(piece, at);
    at += piece.length;
  }
  return buffer;
}

function chunkedBuffer(head: string, { data, tail }: { data: readonly Uint8Array[]; tail: string }): Uint8Array {
  let size = head.length + CHUNK_OVERHEAD_BYTES + tail.length;
  for (const piece of data) size += piece.length;
  const buffer = allocate(size);
  const at = writeChunk(data, buffer, writeLatin1(head, buffer, 0));
  return buffer.subarray(0, writeLatin1(tail, buffer, at));
}
