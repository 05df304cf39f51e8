import type { Fields, KeyedField } from "../../protocol/http/field.ts";
import type { HttpVersion, RequestHead, ResponseHead } from "../../protocol/http/head.ts";
import { isSpoofable } from "./forwarded.ts";

/**
 * Fields that concern one connection and never go on as they came (RFC 9110 7.6.1, and what is in use besides). Transfer-Encoding is not
 * here: it is the business of the framing.
 */
const HOP_BY_HOP: ReadonlySet<string> = new Set([
  "connection",
  "keep-alive",
  "proxy-connection",
  "proxy-authenticate",
  "proxy-authentication-info",
  "proxy-authorization",
  "te",
  "upgrade",
  // Only means something together with `Upgrade: h2c`, which is never forwarded (security R3).
  "http2-settings",
  // The edge answers it itself (Go CVE-2024-24791).
  "expect",
]);

/** Fields that `Connection` may not remove, since what stands behind depends on them (Traefik CVE-2024-45410). */
const PROTECTED: ReadonlySet<string> = new Set([
  "authorization",
  "cache-control",
  "content-encoding",
  "content-length",
  "content-range",
  "content-type",
  "cookie",
  "date",
  "host",
  "location",
  "range",
  "set-cookie",
  "trailer",
  "transfer-encoding",
]);

/** Fields that decide about a message and therefore may not come after it (RFC 9110 6.5.1). */
const FORBIDDEN_IN_TRAILERS: ReadonlySet<string> = new Set([
  ...HOP_BY_HOP,
  ...PROTECTED,
  "age",
  "expires",
  "if-match",
  "if-modified-since",
  "if-none-match",
  "if-range",
  "if-unmodified-since",
  "max-forwards",
  "pragma",
  "retry-after",
  "vary",
  "warning",
  "www-authenticate",
]);

/** Protocols that would take a connection out of our sight in a way we do not allow. */
const NEVER_UPGRADED: ReadonlySet<string> = new Set(["h2c", "h2", "http"]);

/** What the fields of one hop said. */
export interface Hop {
  /** Whether the connection may be used for another message. */
  readonly keepAlive: boolean;
  /** The protocols of a real upgrade, as sent. */
  readonly upgrade: string | undefined;
}

/** The same of a request. */
export interface RequestHop extends Hop {
  /** The sender waits for `100 Continue` before it sends the body. */
  readonly expectsContinue: boolean;
  /** The sender wants trailers of a response. */
  readonly acceptsTrailers: boolean;
}

/** Removes from a request what belongs to its hop or could be spoofed, `Connection` first, and says what it meant. */
export function stripRequest({ fields, version }: RequestHead, identity: ReadonlySet<string> = NOTHING): RequestHop {
  const options = connectionOptions(fields);
  const hop: RequestHop = {
    keepAlive: keepsAlive(options, version),
    upgrade: version === "1.1" && options.includes("upgrade") ? upgradeOf(fields) : undefined,
    expectsContinue: version === "1.1" && fields.get("expect")?.toLowerCase() === "100-continue",
    acceptsTrailers: /(?:^|[\s,])trailers(?:$|[\s,;])/i.test(fields.get("te") ?? ""),
  };
  const nominated = nominatedBy(options);
  fields.retain(({ key }) => !HOP_BY_HOP.has(key) && !isSpoofable(key, identity) && !nominated.includes(key));
  return hop;
}

/** Removes from a response what belongs to its hop, `Connection` first, and says what it meant. */
export function stripResponse({ fields, version, status }: ResponseHead): Hop {
  const options = connectionOptions(fields);
  const hop: Hop = {
    keepAlive: keepsAlive(options, version),
    // 426 names what the visitor would have to ask for.
    upgrade: status === 101 || status === 426 ? upgradeOf(fields) : undefined,
  };
  const nominated = nominatedBy(options);
  fields.retain(({ key }) => !HOP_BY_HOP.has(key) && !nominated.includes(key));
  return hop;
}

/** Whether a field (its name in lower case) concerns one connection only. */
export function isHopByHop(key: string): boolean {
  return HOP_BY_HOP.has(key);
}

/** Puts an upgrade back that is meant to go on; `Connection` and `Upgrade` are the only hop-by-hop fields we ever send with it. */
export function setUpgrade(fields: Fields, protocols: string): void {
  fields.set("Connection", "Upgrade");
  fields.set("Upgrade", protocols);
}

/** The trailers that may go on and that `keeps` wants, or `undefined` when none is left. */
export function cleanTrailers(
  trailers: Fields | undefined,
  keeps: (field: KeyedField) => boolean = everything,
): Fields | undefined {
  if (trailers === undefined) return undefined;
  const clean = trailers.clone();
  clean.retain((field) => !FORBIDDEN_IN_TRAILERS.has(field.key) && !isSpoofable(field.key) && keeps(field));
  return clean.size > 0 ? clean : undefined;
}

function everything(): boolean {
  return true;
}

const NOTHING: ReadonlySet<string> = new Set();
const NO_OPTIONS: readonly string[] = [];

/** The options of all `Connection` fields in lower case. */
function connectionOptions(fields: Fields): readonly string[] {
  let options = NO_OPTIONS;
  for (const { key, value } of fields) {
    if (key !== "connection") continue;
    const more = value.includes(",") ? value.split(",").map((option) => option.trim()) : [value];
    options = [...options, ...more.map((option) => option.toLowerCase())];
  }
  return options;
}

function nominatedBy(options: readonly string[]): readonly string[] {
  return options.length === 0 ? NO_OPTIONS : options.filter((option) => !PROTECTED.has(option));
}

function keepsAlive(options: readonly string[], version: HttpVersion): boolean {
  if (options.includes("close")) return false;
  return version === "1.1" || options.includes("keep-alive");
}

function upgradeOf(fields: Fields): string | undefined {
  const protocols = fields.getAll("upgrade").flatMap((value) => value.split(",")).map((protocol) => protocol.trim());
  const kept = protocols.filter((protocol) => {
    const [name = ""] = protocol.toLowerCase().split("/", 1);
    return name !== "" && !NEVER_UPGRADED.has(name);
  });
  return kept.length > 0 ? kept.join(", ") : undefined;
}
