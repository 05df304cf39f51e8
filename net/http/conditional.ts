/** What a resource is at this moment, for conditional requests (RFC 9110 13). */
export interface Version {
  /** Strong, with quotes. */
  readonly etag: string;
  readonly modified: Date;
}

/** What the conditions of a request lead to. */
export type Condition = "serve" | "not-modified" | "failed";

/** Evaluates the conditions in the order of RFC 9110 13.2.2, for GET and HEAD. */
export function evaluateConditions(headers: Headers, version: Version): Condition {
  const match = headers.get("if-match");
  if (match !== null) {
    if (!lists(match, version.etag, { weak: false })) return "failed";
  } else if (isBefore(headers.get("if-unmodified-since"), version)) {
    return "failed";
  }
  const noneMatch = headers.get("if-none-match");
  if (noneMatch !== null) return lists(noneMatch, version.etag, { weak: true }) ? "not-modified" : "serve";
  const since = headers.get("if-modified-since");
  return httpSeconds(since) >= seconds(version.modified) ? "not-modified" : "serve";
}

/** Whether `If-Range` lets the range stand; without it, it does. */
export function rangeStands(headers: Headers, version: Version): boolean {
  const condition = headers.get("if-range");
  if (condition === null || condition === version.etag) return true;
  return httpSeconds(condition) === seconds(version.modified);
}

/** A part of a body: `from` up to and without `to`. */
export interface ByteRange {
  readonly from: number;
  readonly to: number;
}

/** The single range that is asked for; `undefined` for the whole (also for several, or another unit), `null` when it cannot be. */
export function parseRange(header: string | null, size: number): ByteRange | null | undefined {
  const parts = /^bytes=(?:([0-9]{1,15})-([0-9]{0,15})|-([0-9]{1,15}))$/i.exec(header?.trim() ?? "");
  if (parts === null) return undefined;
  const [, first, last, suffix] = parts;
  if (suffix !== undefined) {
    return Number(suffix) === 0 || size === 0 ? null : { from: Math.max(0, size - Number(suffix)), to: size };
  }
  const from = Number(first);
  const to = last === undefined || last === "" ? size : Math.min(size, Number(last) + 1);
  if (last !== "" && Number(last) < from) return undefined;
  return from >= size ? null : { from, to };
}

function lists(header: string, etag: string, { weak }: { weak: boolean }): boolean {
  if (header.trim() === "*") return true;
  return header.split(",").some((each) => {
    const tag = each.trim();
    return tag === etag || (weak && tag === `W/${etag}`);
  });
}

function isBefore(date: string | null, { modified }: Version): boolean {
  return httpSeconds(date) < seconds(modified);
}

/** NaN, which compares as false, for what is no date of HTTP (RFC 9110 5.6.7) and would still be one for JavaScript. */
function httpSeconds(date: string | null): number {
  if (date === null) return NaN;
  if (/^[A-Z][a-z]+, .* GMT$/.test(date)) return seconds(new Date(date));
  // asctime() tells no zone.
  return /^[A-Z][a-z]{2} [A-Z][a-z]{2} .* [0-9]{4}$/.test(date) ? seconds(new Date(`${date} GMT`)) : NaN;
}

/** HTTP dates have no fractions of a second. */
function seconds(date: Date): number {
  return Math.floor(date.getTime() / 1000);
}
