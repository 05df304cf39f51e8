import ipaddr from "ipaddr.js";
import { CodedError } from "../protocol/errors.ts";

/** An IP address as a number of 32 or 128 bits; a v4-mapped IPv6 address is its IPv4 address. */
export interface Address {
  readonly family: 4 | 6;
  readonly value: bigint;
  /** The one spelling: dotted decimal, or RFC 5952. */
  readonly text: string;
}

/** All addresses whose first `prefix` bits are those of `value`. */
export interface Network {
  readonly family: 4 | 6;
  readonly value: bigint;
  readonly prefix: number;
  /** The one spelling: a single address without `/32` or `/128`. */
  readonly text: string;
}

/** Visitors come back: parsing costs most of a firewall decision, and this many results take less than 1 MiB. */
const MAX_CACHED_ADDRESSES = 4_096;
/** Longest spelling: IPv6 with an embedded IPv4 address. */
const MAX_ADDRESS_LENGTH = 45;

const IPV6_CHARACTERS = /^[0-9a-fA-F:.]+$/;
const DECIMAL = /^(?:0|[1-9][0-9]{0,2})$/;

const cache = new Map<string, Address | null>();

/** Reads an address; null for anything but the plain forms: no zone, port, leading zero, hexadecimal or short IPv4. */
export function parseAddress(text: string): Address | null {
  const known = cache.get(text);
  if (known !== undefined) return known;
  const parsed = parseAddressUncached(text);
  if (text.length > MAX_ADDRESS_LENGTH) return parsed;
  if (cache.size >= MAX_CACHED_ADDRESSES) cache.clear();
  cache.set(text, parsed);
  return parsed;
}

/**
 * Reads an address or CIDR; bits behind the prefix are cleared, so `10.1.2.3/8` is `10.0.0.0/8`.
 * @throws {CodedError} NETWORK_INVALID
 */
export function parseNetwork(text: string): Network {
  const slash = text.indexOf("/");
  const bits = slash === -1 ? undefined : text.slice(slash + 1);
  const host = slash === -1 ? text : text.slice(0, slash);
  const address = parseAddress(host);
  if (address === null || (bits !== undefined && !DECIMAL.test(bits))) throw networkInvalid(text);
  const width = widthOf(address.family);
  // A prefix on the mapped spelling counts the 96 bits of ::ffff:0:0/96 too.
  const mapped = address.family === 4 && host.includes(":");
  const prefix = bits === undefined ? width : Number(bits) - (mapped ? 96 : 0);
  if (prefix < 0 || prefix > width) throw networkInvalid(text);
  const shift = BigInt(width - prefix);
  const value = (address.value >> shift) << shift;
  const base = formatAddress(address.family, value);
  return { family: address.family, value, prefix, text: prefix === width ? base : `${base}/${prefix}` };
}

/** The one spelling of an address or CIDR. @throws {CodedError} NETWORK_INVALID */
export function canonicalNetwork(text: string): string {
  return parseNetwork(text).text;
}

/** Whether the address lies in the network. */
export function networkContains(network: Network, address: Address): boolean {
  if (network.family !== address.family) return false;
  const shift = BigInt(widthOf(network.family) - network.prefix);
  return address.value >> shift === network.value >> shift;
}

/** A function that tells whether an address lies in one of the networks; never for none. @throws {CodedError} NETWORK_INVALID */
export function addressMatcher(networks: readonly string[]): (address: string) => boolean {
  const parsed = networks.map(parseNetwork);
  return (text) => {
    const address = parseAddress(text);
    return address !== null && parsed.some((network) => networkContains(network, address));
  };
}

/** What limits count by: an IPv4 address, or the /64 of an IPv6 address, since one subscriber has at least that. */
export function addressGroup(text: string): string {
  const address = parseAddress(text);
  if (address === null) return text;
  if (address.family === 4) return address.text;
  return `${formatAddress(6, (address.value >> 64n) << 64n)}/64`;
}

/** Whether the address is of this machine itself: 127.0.0.0/8 or ::1. */
export function isLoopback(text: string): boolean {
  const address = parseAddress(text);
  if (address === null) return false;
  return address.family === 4 ? address.value >> 24n === 127n : address.value === 1n;
}

/** Bits of an address. */
export function widthOf(family: 4 | 6): 32 | 128 {
  return family === 4 ? 32 : 128;
}

function parseAddressUncached(text: string): Address | null {
  if (text.length > MAX_ADDRESS_LENGTH) return null;
  // ipaddr.js alone would also take 010.0.0.1, 1.2.3 and 0x7f.1, which other programs read as other addresses.
  if (ipaddr.IPv4.isValidFourPartDecimal(text)) return toAddress(4, ipaddr.IPv4.parse(text).toByteArray());
  if (!IPV6_CHARACTERS.test(text) || !hasStrictTail(text) || !ipaddr.IPv6.isValid(text)) return null;
  const address = ipaddr.IPv6.parse(text);
  if (address.isIPv4MappedAddress()) return toAddress(4, address.toIPv4Address().toByteArray());
  return toAddress(6, address.toByteArray());
}

function hasStrictTail(text: string): boolean {
  return !text.includes(".") || ipaddr.IPv4.isValidFourPartDecimal(text.slice(text.lastIndexOf(":") + 1));
}

function toAddress(family: 4 | 6, bytes: readonly number[]): Address {
  let value = 0n;
  for (const byte of bytes) value = (value << 8n) | BigInt(byte);
  return { family, value, text: formatAddress(family, value) };
}

function formatAddress(family: 4 | 6, value: bigint): string {
  const bytes: number[] = [];
  for (let shift = BigInt(widthOf(family)) - 8n; shift >= 0n; shift -= 8n) bytes.push(Number((value >> shift) & 0xffn));
  return family === 4 ? new ipaddr.IPv4(bytes).toString() : new ipaddr.IPv6(bytes).toRFC5952String();
}

function networkInvalid(text: string): CodedError {
  const shown = text.slice(0, 64).replaceAll(/[^\x20-\x7e]/g, "?");
  return new CodedError(
    "NETWORK_INVALID",
    `"${shown}" is not an address or CIDR, such as 203.0.113.7 or 2001:db8::/32`,
  );
}
