import { allocate } from "../allocate.ts";
import type { Fields } from "./field.ts";
import { writeLatin1 } from "./latin1.ts";

/** What the text of a request head is made from. */
export interface OutgoingRequest {
  readonly method: string;
  readonly target: string;
  readonly fields: Fields;
}

/** What the text of a response head is made from. */
export interface OutgoingResponse {
  readonly status: number;
  readonly reason: string;
  readonly fields: Fields;
}

/** A request head as text with its empty line; we speak 1.1 to every target. */
export function requestHeadText({ method, target, fields }: OutgoingRequest): string {
  return method + " " + target + " HTTP/1.1\r\n" + fields.toText() + "\r\n";
}

/** A response head as text with its empty line. */
export function responseHeadText({ status, reason, fields }: OutgoingResponse): string {
  return "HTTP/1.1 " + status + " " + reason + "\r\n" + fields.toText() + "\r\n";
}

/** Text of any size as bytes of its own, with the headroom of {@link allocate}. */
export function latin1Bytes(text: string): Uint8Array<ArrayBuffer> {
  const bytes = allocate(text.length);
  writeLatin1(text, bytes, 0);
  return bytes;
}
