import { CodedError } from "../errors.ts";
import type { Fields } from "./field.ts";
import { type HeadKind, type HttpVersion, MALFORMED, type RequestHead, type ResponseHead } from "./head.ts";

/** Where a body ends; `close` (a response only) ends with the connection. */
export type Framing =
  | { readonly kind: "none" }
  | { readonly kind: "length"; readonly length: number }
  | { readonly kind: "chunked" }
  | { readonly kind: "close" };

const NONE: Framing = { kind: "none" };
const CHUNKED: Framing = { kind: "chunked" };
const CLOSE: Framing = { kind: "close" };

/** Decimal without a leading zero that somebody could read as octal; 15 digits stay exact in a number. */
const CONTENT_LENGTH = /^(?:0|[1-9][0-9]{0,14})$/;
/** Codings that end in `chunked`, where it stands once: well-formed, but not done here. */
const CODINGS_THEN_CHUNKED = /^(?:(?!chunked\b)[a-z0-9!#$%&'*+\-.^_`|~]+[ \t]*,[ \t]*)+chunked$/i;

/**
 * How the body of a request is delimited (RFC 9112 6.3); anything two parsers could read differently is refused.
 * @throws {CodedError} `BAD_REQUEST`; `NOT_IMPLEMENTED` for a transfer coding other than `chunked`.
 */
export function requestFraming(head: RequestHead): Framing {
  const declared = declaredFraming(head.fields, head.version, "request") ?? NONE;
  if (head.method === "CONNECT" && declared.kind !== "none") {
    throw new CodedError("BAD_REQUEST", "A CONNECT request has no body");
  }
  return declared;
}

/**
 * How the body of a response is delimited, given the method it answers. HEAD, CONNECT's 2xx, 1xx, 204 and 304 have none whatever
 * the fields say.
 * @throws {CodedError} `TARGET_BAD_RESPONSE`.
 */
export function responseFraming(head: ResponseHead, method: string): Framing {
  const declared = declaredFraming(head.fields, head.version, "response");
  const { status } = head;
  if (method === "HEAD" || status < 200 || status === 204 || status === 304) return NONE;
  if (method === "CONNECT" && status < 300) return NONE;
  return declared ?? CLOSE;
}

/** Whether bytes follow the head of a request with this framing. */
export function hasBody(framing: Framing): boolean {
  return framing.kind === "chunked" || (framing.kind === "length" && framing.length > 0);
}

function declaredFraming(fields: Fields, version: HttpVersion, kind: HeadKind): Framing | undefined {
  let coding: string | undefined;
  let length: string | undefined;
  for (const { key, value } of fields) {
    if (key === "transfer-encoding") {
      if (coding !== undefined) throw new CodedError(MALFORMED[kind], "There is more than one Transfer-Encoding");
      coding = value;
    } else if (key === "content-length") {
      if (length !== undefined) throw new CodedError(MALFORMED[kind], "There is more than one Content-Length");
      length = value;
    }
  }
  if (coding !== undefined) return chunkedFraming(coding, { version, kind, hasLength: length !== undefined });
  if (length === undefined) return undefined;
  if (!CONTENT_LENGTH.test(length)) throw new CodedError(MALFORMED[kind], "Content-Length is not a plain number");
  return { kind: "length", length: Number(length) };
}

interface ChunkedContext {
  readonly version: HttpVersion;
  readonly kind: HeadKind;
  readonly hasLength: boolean;
}

function chunkedFraming(coding: string, { version, kind, hasLength }: ChunkedContext): Framing {
  if (hasLength) throw new CodedError(MALFORMED[kind], "There are both Content-Length and Transfer-Encoding");
  if (version === "1.0") throw new CodedError(MALFORMED[kind], "HTTP/1.0 has no Transfer-Encoding");
  if (coding.toLowerCase() === "chunked") return CHUNKED;
  if (kind === "request" && CODINGS_THEN_CHUNKED.test(coding)) {
    throw new CodedError("NOT_IMPLEMENTED", "The only transfer coding understood is chunked");
  }
  throw new CodedError(MALFORMED[kind], "Transfer-Encoding is not chunked");
}
