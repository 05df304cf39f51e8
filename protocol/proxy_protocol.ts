import ipaddr from "ipaddr.js";

/** One end of a TCP connection. */
export interface Endpoint {
  /** In its one form: IPv6 compressed, `::ffff:a.b.c.d` as IPv4. */
  readonly address: string;
  readonly port: number;
}

/** What the first bytes of a connection from a load balancer say. */
export type ProxyHeader =
  | { readonly kind: "incomplete" }
  | { readonly kind: "invalid"; readonly reason: string }
  | {
    readonly kind: "header";
    /** For whom the balancer connects; `undefined` when it does so for itself (a health check) or says nothing of use. */
    readonly source: Endpoint | undefined;
    /** Length of the header in bytes: what comes behind it is the visitor's. */
    readonly length: number;
  };

/** A line of version 1 with its CRLF: two full IPv6 addresses and ports (specification 2.1). */
export const MAX_V1_BYTES = 107;
/** A whole header of version 2: room for two unix paths, or addresses and TLVs (security R56). */
export const MAX_V2_BYTES = 536;

const SIGNATURE_V1 = "PROXY ";
const SIGNATURE_V2: readonly number[] = [0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a];
const V2_FIXED_BYTES = 16;
const VERSION_2 = 0x20;
const COMMAND_LOCAL = 0;
const COMMAND_PROXY = 1;
const TRANSPORT_UNSPEC = 0;
const TRANSPORT_STREAM = 1;
/** Address families of version 2: bytes of both addresses (and ports) together. */
const FAMILY_BYTES: ReadonlyMap<number, number> = new Map([[0, 0], [1, 12], [2, 36], [3, 216]]);
const FAMILY_INET = 1;
const FAMILY_INET6 = 2;
const INET_BYTES = 4;
const INET6_BYTES = 16;

const INCOMPLETE: ProxyHeader = { kind: "incomplete" };
const V1_LINE = /^PROXY (TCP4|TCP6) ([0-9A-Fa-f:.]+) ([0-9A-Fa-f:.]+) (0|[1-9][0-9]{0,4}) (0|[1-9][0-9]{0,4})$/;
const V1_UNKNOWN = /^PROXY UNKNOWN(?: [\x20-\x7e]*)?$/;

/**
 * Reads the header of the PROXY protocol, version 1 or 2, from the first bytes of a connection. Never throws, and refuses at the first
 * byte that cannot belong to one.
 */
export function parseProxyHeader(bytes: Uint8Array): ProxyHeader {
  if (bytes.length === 0) return INCOMPLETE;
  return bytes[0] === SIGNATURE_V2[0] ? parseV2(bytes) : parseV1(bytes);
}

function parseV1(bytes: Uint8Array): ProxyHeader {
  const text = String.fromCharCode(...bytes.subarray(0, MAX_V1_BYTES));
  if (!text.startsWith(SIGNATURE_V1.slice(0, text.length))) return invalid("it does not begin with a signature");
  const end = text.indexOf("\n");
  if (end < 0) return bytes.length < MAX_V1_BYTES ? INCOMPLETE : invalid("the line is too long");
  if (text[end - 1] !== "\r") return invalid("the line does not end in CRLF");
  const line = text.slice(0, end - 1);
  const length = end + 1;
  if (V1_UNKNOWN.test(line)) return { kind: "header", source: undefined, length };
  const match = V1_LINE.exec(line);
  if (match === null) return invalid("the line is malformed");
  const [, family, from = "", to = "", ...ports] = match;
  const isAddress = family === "TCP4" ? isIpv4 : isIpv6;
  const [port = 0, toPort = 0] = ports.map(Number);
  if (!isAddress(from) || !isAddress(to)) return invalid("an address is malformed");
  if (port > 65_535 || toPort > 65_535) return invalid("a port is out of range");
  return { kind: "header", source: { address: ipaddr.process(from).toString(), port }, length };
}

function parseV2(bytes: Uint8Array): ProxyHeader {
  const known = Math.min(bytes.length, SIGNATURE_V2.length);
  for (let at = 0; at < known; at++) {
    if (bytes[at] !== SIGNATURE_V2[at]) return invalid("it does not begin with a signature");
  }
  const [command, family, high, low] = bytes.subarray(SIGNATURE_V2.length, V2_FIXED_BYTES);
  if (command !== undefined && (command & 0xf0) !== VERSION_2) return invalid("its version is unknown");
  if (command !== undefined && (command & 0x0f) > COMMAND_PROXY) return invalid("its command is unknown");
  if (family === undefined || high === undefined || low === undefined) return INCOMPLETE;
  const length = V2_FIXED_BYTES + (high << 8) + low;
  if (length > MAX_V2_BYTES) return invalid("it is too long");
  if (bytes.length < length) return INCOMPLETE;
  // Whatever stands there is to be skipped: the balancer speaks for itself.
  if ((command! & 0x0f) === COMMAND_LOCAL) return { kind: "header", source: undefined, length };
  return parseV2Body(bytes.subarray(V2_FIXED_BYTES, length), { family: family >> 4, transport: family & 0x0f, length });
}

function parseV2Body(
  body: Uint8Array,
  { family, transport, length }: { family: number; transport: number; length: number },
): ProxyHeader {
  const addressBytes = FAMILY_BYTES.get(family);
  if (addressBytes === undefined || transport > 2) return invalid("its address family is unknown");
  if (family === 0 || transport === TRANSPORT_UNSPEC) return { kind: "header", source: undefined, length };
  if (transport !== TRANSPORT_STREAM) return invalid("it is not for a TCP connection");
  if (body.length < addressBytes) return invalid("its addresses are cut short");
  if (!tlvsFit(body.subarray(addressBytes))) return invalid("a TLV is longer than the header");
  return { kind: "header", source: sourceOf(body, family), length };
}

function sourceOf(body: Uint8Array, family: number): Endpoint | undefined {
  if (family !== FAMILY_INET && family !== FAMILY_INET6) return undefined;
  const size = family === FAMILY_INET ? INET_BYTES : INET6_BYTES;
  const at = 2 * size;
  const parsed = ipaddr.process(ipaddr.fromByteArray([...body.subarray(0, size)]).toString());
  return { address: parsed.toString(), port: (body[at]! << 8) | body[at + 1]! };
}

/** None of them is of use here, but one that overruns the header is a fault of whoever wrote it. */
function tlvsFit(bytes: Uint8Array): boolean {
  let at = 0;
  while (at + 3 <= bytes.length) at += 3 + ((bytes[at + 1]! << 8) | bytes[at + 2]!);
  return at === bytes.length;
}

function invalid(reason: string): ProxyHeader {
  return { kind: "invalid", reason };
}

/**
 * A header of version 2 for a connection that is made for `source`; without one it is made for nobody (LOCAL). Where the two ends differ
 * in their family, the IPv4 one is written as `::ffff:a.b.c.d`.
 * @throws {TypeError} when an address is none
 */
export function encodeProxyHeader(ends?: { source: Endpoint; destination: Endpoint }): Uint8Array<ArrayBuffer> {
  if (ends === undefined) return v2Header(COMMAND_LOCAL, 0, new Uint8Array(0));
  const source = addressBytes(ends.source.address);
  const destination = addressBytes(ends.destination.address);
  const inet = source.length === INET_BYTES && destination.length === INET_BYTES;
  const size = inet ? INET_BYTES : INET6_BYTES;
  const body = new Uint8Array(2 * size + 4);
  body.set(inet ? source : mapped(source), 0);
  body.set(inet ? destination : mapped(destination), size);
  const view = new DataView(body.buffer);
  view.setUint16(2 * size, ends.source.port);
  view.setUint16(2 * size + 2, ends.destination.port);
  return v2Header(COMMAND_PROXY, (inet ? FAMILY_INET : FAMILY_INET6) << 4 | TRANSPORT_STREAM, body);
}

function v2Header(command: number, family: number, body: Uint8Array): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(V2_FIXED_BYTES + body.length);
  bytes.set(SIGNATURE_V2);
  bytes.set([VERSION_2 | command, family, body.length >> 8, body.length & 0xff], SIGNATURE_V2.length);
  bytes.set(body, V2_FIXED_BYTES);
  return bytes;
}

function addressBytes(text: string): Uint8Array {
  if (!isIpv4(text) && !isIpv6(text)) throw new TypeError(`Cannot write a PROXY header: "${text}" is not an address`);
  return new Uint8Array(ipaddr.process(text).toByteArray());
}

function isIpv4(text: string): boolean {
  return ipaddr.IPv4.isValidFourPartDecimal(text);
}

/** Without a zone, which means nothing elsewhere, and with an embedded IPv4 address only in its plain form. */
function isIpv6(text: string): boolean {
  if (!text.includes(":") || text.includes("%") || !ipaddr.IPv6.isValid(text)) return false;
  return !text.includes(".") || isIpv4(text.slice(text.lastIndexOf(":") + 1));
}

function mapped(address: Uint8Array): Uint8Array {
  if (address.length === INET6_BYTES) return address;
  return new Uint8Array([...new Uint8Array(10), 0xff, 0xff, ...address]);
}
