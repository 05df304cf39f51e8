import { type Address, type Network, networkContains, parseAddress, parseNetwork } from "../../net/address.ts";

/** Where an IPv6 address has IPv4 addresses in it, and how many bits are behind them. */
const EMBEDDING: readonly (readonly [network: Network, shifts: readonly bigint[]])[] = [
  [parseNetwork("64:ff9b::/96"), [0n]], // NAT64 (RFC 6052)
  [parseNetwork("2002::/16"), [80n]], // 6to4 (RFC 3056)
  [parseNetwork("2001::/32"), [0n, 64n]], // Teredo (RFC 4380): client, and server
];
const TEREDO: Network = parseNetwork("2001::/32");
const ALL_ONES = 0xffff_ffffn;

/** An address, and the IPv4 addresses that it leads to by way of a translator: whoever forbids one of these forbids all of them. */
export function withEmbedded(address: Address): Address[] {
  return [address, ...embedded(address)];
}

function embedded(address: Address): Address[] {
  const found = EMBEDDING.find(([network]) => networkContains(network, address));
  if (found === undefined) return [];
  const [network, shifts] = found;
  return shifts.map((shift) => {
    const bits = (address.value >> shift) & ALL_ONES;
    // Teredo hides the client's address from translators on the way by inverting it.
    return toIpv4(network.text === TEREDO.text && shift === 0n ? bits ^ ALL_ONES : bits);
  });
}

function toIpv4(bits: bigint): Address {
  const text = [24n, 16n, 8n, 0n].map((shift) => (bits >> shift) & 0xffn).join(".");
  return parseAddress(text) as Address;
}
