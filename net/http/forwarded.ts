import ipaddr from "ipaddr.js";
import { Fields } from "../../protocol/http/field.ts";

/** Fields in which a visitor could claim to be somebody else or to come from elsewhere (security R41). */
const SPOOFABLE: ReadonlySet<string> = new Set([
  "client-ip",
  "fastly-client-ip",
  "forwarded",
  "forwarded-for",
  // httpoxy: CGI makes HTTP_PROXY of it.
  "proxy",
  "remote-addr",
  "remote-user",
  "true-client-ip",
  "x-appengine-user-ip",
  "x-azure-clientip",
  "x-cluster-client-ip",
  "x-envoy-external-address",
  "x-original-forwarded-for",
  "x-original-host",
  "x-originating-ip",
  "x-proxyuser-ip",
  "x-real-ip",
  "x-remote-addr",
  "x-remote-ip",
  "x-remote-user",
]);

const SPOOFABLE_PREFIXES: readonly string[] = ["x-forwarded", "x-client-", "cf-"];
const NO_IDENTITY: ReadonlySet<string> = new Set();

/**
 * Whether a field (its name in lower case) may not come from a visitor. `_` counts as `-`, since CGI-like targets see both
 * as one. `identity` names the fields in which an operator's own gateway puts who somebody is.
 */
export function isSpoofable(key: string, identity: ReadonlySet<string> = NO_IDENTITY): boolean {
  const name = key.includes("_") ? key.replaceAll("_", "-") : key;
  if (SPOOFABLE.has(name) || identity.has(name)) return true;
  for (const prefix of SPOOFABLE_PREFIXES) if (name.startsWith(prefix)) return true;
  return false;
}

/** Who asks, how, and for what: what the target is told. */
export interface ForwardedFacts {
  /** The visitor's address, without port. */
  readonly address: string;
  readonly proto: "http" | "https";
  /** The visitor's `Host` as sent. */
  readonly host: string;
}

/** `X-Forwarded-For`, `-Proto`, `-Host` and `Forwarded` (RFC 7239), each with the one value that we vouch for. */
export function forwardedFields({ address, proto, host }: ForwardedFacts): Fields {
  const node = address.includes(":") ? `"[${address}]"` : address;
  const named = /^[A-Za-z0-9.-]+$/.test(host) ? host : `"${host}"`;
  return new Fields([
    { name: "X-Forwarded-For", value: address },
    { name: "X-Forwarded-Proto", value: proto },
    { name: "X-Forwarded-Host", value: host },
    { name: "Forwarded", value: `for=${node};host=${named};proto=${proto}` },
  ]);
}

/** An address in its one form: IPv6 compressed, `::ffff:a.b.c.d` as IPv4; `undefined` when it is none. */
export function canonicalAddress(address: string): string | undefined {
  if (address.includes(":") ? !ipaddr.IPv6.isValid(address) : !ipaddr.IPv4.isValidFourPartDecimal(address)) {
    return undefined;
  }
  if (address.includes("%")) return undefined;
  return ipaddr.process(address).toString();
}

/** What is known about a connection and the request on it. */
export interface VisitorFacts {
  /** The address of the connection's other end. */
  readonly peer: string;
  readonly fields: Fields;
  /** Whether this (canonical) address is a proxy that is believed. The default of an operator is: none. */
  readonly trustedProxies: (address: string) => boolean;
}

/**
 * The visitor's address: the peer, or behind trusted proxies the right-most entry of `X-Forwarded-For` that is not one of them.
 * An entry that is no address ends the search at the proxy that wrote it.
 */
export function visitorAddress({ peer, fields, trustedProxies }: VisitorFacts): string {
  let address = canonicalAddress(peer) ?? peer;
  if (!trustedProxies(address)) return address;
  const hops = fields.getAll("x-forwarded-for").flatMap((value) => value.split(","));
  for (const hop of hops.reverse()) {
    const named = canonicalAddress(withoutPort(hop.trim()));
    if (named === undefined) break;
    address = named;
    if (!trustedProxies(address)) break;
  }
  return address;
}

/** `https` when a trusted peer says so of its own visitor, else what the connection itself is. */
export function visitorProto({ peer, fields, trustedProxies }: VisitorFacts, own: "http" | "https"): "http" | "https" {
  if (!trustedProxies(canonicalAddress(peer) ?? peer)) return own;
  const named = fields.getAll("x-forwarded-proto").at(-1)?.split(",").at(-1)?.trim().toLowerCase();
  return named === "http" || named === "https" ? named : own;
}

/** `1.2.3.4:5` and `[::1]:5` are seen in the wild. */
function withoutPort(hop: string): string {
  const bracketed = /^\[([^\]]*)\](?::[0-9]+)?$/.exec(hop);
  if (bracketed !== null) return bracketed[1] ?? "";
  return /^[0-9.]+:[0-9]+$/.test(hop) ? hop.slice(0, hop.indexOf(":")) : hop;
}
