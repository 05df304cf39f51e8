import { setUpgrade } from "../hop_by_hop.ts";
import type { Fields } from "../../../protocol/http/field.ts";
import type { Framing } from "../../../protocol/http/framing.ts";
import type { HttpVersion, RequestHead, ResponseHead } from "../../../protocol/http/head.ts";
import { requestHeadText, responseHeadText } from "../../../protocol/http/serialise.ts";

/** What a request gets on its way to the target, beside what it came with. */
export interface OutgoingRequestOptions {
  readonly framing: Framing;
  readonly forwarded: Fields;
  readonly hostHeader: string | undefined;
  readonly upgrade: string | undefined;
  readonly acceptsTrailers: boolean;
}

/** The head for the target, of a request whose hop-by-hop and spoofable fields are gone already. */
export function outgoingRequest(head: RequestHead, options: OutgoingRequestOptions): string {
  const { method, target, fields, host } = head;
  const hostHeader = options.hostHeader ?? (fields.has("host") ? undefined : host);
  if (hostHeader !== undefined) fields.set("Host", hostHeader);
  if (options.framing.kind === "chunked") fields.set("Transfer-Encoding", "chunked");
  if (options.upgrade !== undefined) {
    setUpgrade(fields, options.upgrade);
  } else if (options.acceptsTrailers) {
    fields.append("Connection", "TE");
    fields.append("TE", "trailers");
  }
  fields.appendAll(options.forwarded);
  return requestHeadText({ method, target, fields });
}

/** To whom a response goes. */
export interface OutgoingResponseOptions {
  readonly framing: Framing;
  readonly version: HttpVersion;
  readonly keepAlive: boolean;
  readonly upgrade: string | undefined;
}

/** How a body goes to the visitor: a close-delimited one is chunked, so that a cut is seen; HTTP/1.0 knows no chunks. */
export function isChunked(framing: Framing, version: HttpVersion): boolean {
  return version === "1.1" && (framing.kind === "chunked" || framing.kind === "close");
}

/** The head for the visitor, of a response whose hop-by-hop fields are gone already; exactly one framing field is left. */
export function outgoingResponse(head: ResponseHead, options: OutgoingResponseOptions): string {
  const { status, reason, fields } = head;
  if (status < 200 || status === 204) fields.delete("content-length");
  if (isChunked(options.framing, options.version)) fields.set("Transfer-Encoding", "chunked");
  else fields.delete("transfer-encoding");
  if (options.upgrade !== undefined) setUpgrade(fields, options.upgrade);
  else if (status >= 200 && !options.keepAlive) fields.append("Connection", "close");
  else if (status >= 200 && options.version === "1.0") fields.append("Connection", "keep-alive");
  return responseHeadText({ status, reason, fields });
}
