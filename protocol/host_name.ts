import { CodedError } from "./errors.ts";
import { MAX_HOST_NAME_CHARACTERS } from "./http/limits.ts";

/** Lower-case letters, digits, inner hyphens; labels of 1 to 63 (RFC 1123 2.1). */
const NAME = /^(?!.{254})(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)*[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/;
/** The commonest form by far: a plain name with an optional port and nothing that needs a second look. */
const PLAIN = /^((?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)*[a-z](?:[a-z0-9-]{0,61}[a-z0-9])?)(?::([1-9][0-9]{0,4}))?$/;
const OCTET = "(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])";
const IPV4 = new RegExp(`^${OCTET}(?:\\.${OCTET}){3}$`);
/** A name whose last label is a number is an address or nothing (WHATWG URL 3.5), so `010.1` is never a host. */
const ENDS_IN_NUMBER = /(?:^|\.)(?:[0-9]+|0x[0-9a-f]*)$/;
const HOST_AND_PORT = /^(\[[0-9a-f:.]{2,45}\]|[a-z0-9.-]+)(?::([0-9]{1,5}))?$/;
const MAX_PORT = 65_535;

/**
 * The one form of a host that routing, firewall and logs compare: lower case, without port and final dot, A-labels; IPv6 in
 * brackets and compressed. `Host: BLOG.example.com.:8080` gives `blog.example.com`.
 * @throws {CodedError} `BAD_REQUEST` when it is not `host[:port]`.
 */
export function canonicalHost(hostHeader: string): string {
  const plain = PLAIN.exec(hostHeader);
  if (plain !== null && isFast(plain[1] as string, plain[2])) return plain[1] as string;
  return canonicalHostSlowly(hostHeader);
}

function isFast(name: string, port: string | undefined): boolean {
  return name.length <= MAX_HOST_NAME_CHARACTERS && (port === undefined || Number(port) <= MAX_PORT) &&
    !name.includes("xn--") && !ENDS_IN_NUMBER.test(name);
}

/** {@link canonicalHost} without its short cut: the same result for every input. */
export function canonicalHostSlowly(hostHeader: string): string {
  const parts = HOST_AND_PORT.exec(hostHeader.toLowerCase());
  if (parts === null || /[^\x21-\x7e]/.test(hostHeader)) throw badHost(hostHeader);
  const [, host = "", port] = parts;
  if (port !== undefined && !isPort(port)) throw badHost(hostHeader);
  if (host.startsWith("[")) return canonicalIpv6(host) ?? fail(hostHeader);
  const name = host.endsWith(".") ? host.slice(0, -1) : host;
  return isHostName(name) || IPV4.test(name) ? name : fail(hostHeader);
}

/** Whether `name` is a canonical host name: lower case, no port, no final dot, A-labels that round-trip, not an address. */
export function isHostName(name: string): boolean {
  if (!NAME.test(name) || ENDS_IN_NUMBER.test(name)) return false;
  return !name.includes("xn--") || labelsRoundTrip(name);
}

/** An A-label that does not decode, or decodes to what encodes differently, has a second spelling (idna CVE-2024-12224). */
function labelsRoundTrip(name: string): boolean {
  for (const label of name.split(".")) {
    // The URL standard decodes, validates and encodes again; what differs or throws is refused.
    if (label.startsWith("xn--") && URL.parse(`http://${label}.example`)?.hostname !== `${label}.example`) return false;
  }
  return true;
}

function canonicalIpv6(bracketed: string): string | undefined {
  const host = URL.parse(`http://${bracketed}/`)?.hostname;
  return host?.startsWith("[") ? host : undefined;
}

function isPort(text: string): boolean {
  return /^[1-9][0-9]{0,4}$/.test(text) && Number(text) <= MAX_PORT;
}

function badHost(hostHeader: string): CodedError {
  const shown = hostHeader.slice(0, MAX_HOST_NAME_CHARACTERS).replaceAll(/[^\x20-\x7e]/g, "?");
  return new CodedError("BAD_REQUEST", `"${shown}" is not a valid host`);
}

function fail(hostHeader: string): never {
  throw badHost(hostHeader);
}
