import { CodedError, type ErrorName } from "../errors.ts";
import { Fields, isToken, type KeyedField } from "./field.ts";
import { MAX_FIELDS } from "./limits.ts";

/** The codes for what can be wrong with fields; they differ by direction. */
export interface FieldFaults {
  readonly malformed: ErrorName;
  readonly tooMany: ErrorName;
}

/** Every field line and the empty line: token, colon at once, then anything but control characters, CRLF (RFC 9112 5). */
const FIELD_LINES = /(?:[!#$%&'*+\-.^_`|~0-9A-Za-z]+:[\t\x20-\x7e\x80-\xff]*\r\n)*\r\n/y;
const SPACE = 0x20;
const TAB = 0x09;

/**
 * Reads field lines from `at` up to the empty line that ends `text`.
 * @throws {CodedError} `faults.malformed` or `faults.tooMany`.
 */
export function parseFieldLines(text: string, at: number, faults: FieldFaults): Fields {
  FIELD_LINES.lastIndex = at;
  if (!FIELD_LINES.test(text) || FIELD_LINES.lastIndex !== text.length) throw fieldFault(text, at, faults.malformed);
  const entries: KeyedField[] = [];
  const end = text.length - 2;
  while (at < end) {
    if (entries.length === MAX_FIELDS) throw new CodedError(faults.tooMany, `More than ${MAX_FIELDS} header fields`);
    const colon = text.indexOf(":", at);
    const lineEnd = text.indexOf("\r\n", colon);
    const name = text.slice(at, colon);
    entries.push({ key: name.toLowerCase(), name, value: trimmed(text, colon + 1, lineEnd) });
    at = lineEnd + 2;
  }
  return Fields.fromChecked(entries);
}

/** Optional white space is SP and HTAB only: `trim()` would also take NBSP, which is obs-text. */
function trimmed(text: string, from: number, to: number): string {
  while (from < to && isBlank(text.charCodeAt(from))) from++;
  while (to > from && isBlank(text.charCodeAt(to - 1))) to--;
  return text.slice(from, to);
}

function isBlank(code: number): boolean {
  return code === SPACE || code === TAB;
}

/** Finds the first bad line, so that the message names what is wrong. Not on the fast path. */
function fieldFault(text: string, at: number, kind: ErrorName): CodedError {
  const rest = text.slice(at);
  if (/(?<!\r)\n|\r(?!\n)/.test(rest)) return new CodedError(kind, "A header line does not end in CRLF");
  for (const line of rest.split("\r\n")) {
    const colon = line.indexOf(":");
    if (/^[ \t]/.test(line)) return new CodedError(kind, "A header line is folded (RFC 9112 5.2)");
    if (line === "") return new CodedError(kind, "Bytes follow the end of the head");
    if (colon < 0) return new CodedError(kind, "A header line has no colon");
    if (colon === 0) return new CodedError(kind, "A header field has no name");
    if (/[ \t]$/.test(line.slice(0, colon))) return new CodedError(kind, "White space stands before a colon");
    if (!isToken(line.slice(0, colon))) return new CodedError(kind, "A header name has forbidden characters");
    if (/[^\t\x20-\x7e\x80-\xff]/.test(line)) return new CodedError(kind, "A header value has control characters");
  }
  return new CodedError(kind, "The head does not end in an empty line");
}
