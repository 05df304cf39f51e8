import { CodedError, type ErrorName } from "../errors.ts";
import type { Fields } from "./field.ts";
import { type FieldFaults, parseFieldLines } from "./field_lines.ts";
import { latin1 } from "./latin1.ts";
import { MAX_COOKIES, MAX_HEAD_BYTES, MAX_REQUEST_LINE_BYTES } from "./limits.ts";
import { resolveTarget } from "./request_target.ts";

/** The two versions that are spoken. */
export type HttpVersion = "1.0" | "1.1";

/** A request as it was understood; raw bytes never go on (security R35). */
export interface RequestHead {
  /** Any token; case counts. */
  readonly method: string;
  /** Origin-form (an absolute-form is reduced to it), `*` for OPTIONS, or `host:port` for CONNECT. */
  readonly target: string;
  readonly version: HttpVersion;
  readonly fields: Fields;
  /** Canonical host; absent only when an HTTP/1.0 request names none. */
  readonly host: string | undefined;
}

/** A response as it was understood. */
export interface ResponseHead {
  /** 100 to 999. */
  readonly status: number;
  /** May be empty, may hold obs-text. */
  readonly reason: string;
  readonly version: HttpVersion;
  readonly fields: Fields;
}

/** Which of the two a head is. */
export type HeadKind = "request" | "response";

/** The codes for a malformed message of either kind. */
export const MALFORMED = { request: "BAD_REQUEST", response: "TARGET_BAD_RESPONSE" } as const satisfies Record<
  HeadKind,
  ErrorName
>;

const REQUEST_FIELD_FAULTS: FieldFaults = { malformed: "BAD_REQUEST", tooMany: "HEADERS_TOO_LARGE" };
const RESPONSE_FIELD_FAULTS: FieldFaults = { malformed: "TARGET_BAD_RESPONSE", tooMany: "TARGET_BAD_RESPONSE" };

/** One space each (RFC 9112 3); a fragment never belongs in a target. */
const REQUEST_LINE = /^([!#$%&'*+\-.^_`|~0-9A-Za-z]+) ([\x21\x22\x24-\x7e]+) HTTP\/([0-9])\.([0-9])\r\n/;
/** Servers in use leave the space before an empty reason away. */
const STATUS_LINE = /^HTTP\/1\.([01]) ([1-9][0-9]{2})(?: ([\t\x20-\x7e\x80-\xff]*))?\r\n/;

/**
 * Reads a request head including its empty line.
 * @throws {CodedError} `BAD_REQUEST`, `URI_TOO_LONG`, `HEADERS_TOO_LARGE`, `VERSION_NOT_SUPPORTED`.
 */
export function parseRequestHead(head: string | Uint8Array): RequestHead {
  const text = typeof head === "string" ? head : latin1(head);
  refuseTooLarge("request", text);
  const line = REQUEST_LINE.exec(text);
  if (line === null) throw new CodedError("BAD_REQUEST", "The request line is malformed");
  const [{ length }, method = "", rawTarget = "", major, minor] = line;
  if (major !== "1" || (minor !== "0" && minor !== "1")) {
    throw new CodedError("VERSION_NOT_SUPPORTED", `HTTP/${major}.${minor} is not spoken here`);
  }
  const version = minor === "1" ? "1.1" : "1.0";
  const fields = parseFieldLines(text, length, REQUEST_FIELD_FAULTS);
  if (fields.get("cookie") !== undefined) refuseManyCookies(fields);
  const { target, host } = resolveTarget(method, rawTarget, onlyHost(fields, version));
  return { method, target, version, fields, host };
}

/**
 * Reads a response head including its empty line.
 * @throws {CodedError} `TARGET_BAD_RESPONSE`.
 */
export function parseResponseHead(head: string | Uint8Array): ResponseHead {
  const text = typeof head === "string" ? head : latin1(head);
  refuseTooLarge("response", text);
  const line = STATUS_LINE.exec(text);
  if (line === null) throw new CodedError("TARGET_BAD_RESPONSE", "The status line is malformed");
  const [{ length }, minor, status, reason = ""] = line;
  const fields = parseFieldLines(text, length, RESPONSE_FIELD_FAULTS);
  return { status: Number(status), reason, version: minor === "1" ? "1.1" : "1.0", fields };
}

/**
 * Checks what has arrived of a head, whole or not, against the limits.
 * @throws {CodedError} `URI_TOO_LONG`, `HEADERS_TOO_LARGE`; `TARGET_BAD_RESPONSE` for a response.
 */
export function refuseTooLarge(kind: HeadKind, text: string): void {
  if (kind === "request" && text.length > MAX_REQUEST_LINE_BYTES) {
    const end = text.indexOf("\r\n");
    if (end < 0 || end > MAX_REQUEST_LINE_BYTES) {
      throw new CodedError("URI_TOO_LONG", `The request line is longer than ${MAX_REQUEST_LINE_BYTES} bytes`);
    }
  }
  if (text.length <= MAX_HEAD_BYTES) return;
  throw new CodedError(
    kind === "request" ? "HEADERS_TOO_LARGE" : "TARGET_BAD_RESPONSE",
    `The head is larger than ${MAX_HEAD_BYTES} bytes`,
  );
}

/** Targets make an object of each: the cheapest way to a lot of memory (zrok CVE-2026-40303, Go CVE-2025-58186). */
function refuseManyCookies(fields: Fields): void {
  let count = 0;
  for (const { key, value } of fields) if (key === "cookie") count += value.split(";").length;
  if (count > MAX_COOKIES) throw new CodedError("HEADERS_TOO_LARGE", `More than ${MAX_COOKIES} cookies`);
}

function onlyHost(fields: Fields, version: HttpVersion): string | undefined {
  const host = fields.get("host");
  if (host === undefined) {
    if (version === "1.0") return undefined;
    throw new CodedError("BAD_REQUEST", "There is no Host");
  }
  let count = 0;
  for (const field of fields) if (field.key === "host") count++;
  if (count !== 1) throw new CodedError("BAD_REQUEST", "There is more than one Host");
  return host;
}
