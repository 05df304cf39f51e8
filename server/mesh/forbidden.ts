import { type Address, type Network, networkContains, parseNetwork } from "../../net/address.ts";
import type { AllowList, NetworkEntry } from "./allow_list.ts";
import { withEmbedded } from "./embedded_addresses.ts";
import type { OwnAddresses } from "./own_addresses.ts";

/**
 * Networks that are no ordinary destination (RFC 6890 and its registries), the metadata services of clouds among them. `private` ones are
 * permitted to a name that the allow-list has; all others need an entry by address that lies within them, so `0.0.0.0/0` opens none.
 */
const SPECIAL: readonly (readonly [network: Network, isPrivate: boolean, what: string])[] = [
  ...special("private", true, ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7"]),
  ...special("loopback", false, ["127.0.0.0/8", "::1"]),
  ...special("link-local", false, ["169.254.0.0/16", "fe80::/10", "fec0::/10"]),
  ...special("a metadata service", false, [
    ...["169.254.169.254", "fd00:ec2::254", "fd20:ce::254", "100.100.100.200", "168.63.129.16", "192.0.0.192"],
  ]),
  ...special("multicast", false, ["224.0.0.0/4", "ff00::/8"]),
  ...special("reserved", false, [
    ...["0.0.0.0/8", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "198.18.0.0/15", "198.51.100.0/24"],
    ...["203.0.113.0/24", "240.0.0.0/4", "::/96", "::ffff:0:0:0/96", "64:ff9b:1::/48", "100::/64", "2001:2::/48"],
    ...["2001:10::/28", "2001:20::/28", "2001:db8::/32", "3fff::/20", "5f00::/16"],
  ]),
].sort(([a], [b]) => b.prefix - a.prefix);

/** Mail: what a stranger would send through us would be ours. */
const MAIL_PORTS: ReadonlySet<number> = new Set([25, 465, 587]);

/** What is asked about. */
export interface CheckOptions {
  readonly allow: AllowList;
  readonly own: OwnAddresses;
  /** The address is the answer to a name that the allow-list has. */
  readonly byName: boolean;
}

/**
 * Why an address must not be dialled at a port, and which entry would permit it, or `undefined`. An IPv4 address within an IPv6 address must be permitted as well.
 * WARNING: this is what stands between clients and the server's own network (security 2.3). What is dialled is the address that was checked.
 */
export function forbiddenReason(address: Address, port: number, options: CheckOptions): string | undefined {
  for (const each of withEmbedded(address)) {
    const reason = reasonOf(each, port, options);
    if (reason !== undefined) return reason;
  }
  return undefined;
}

function reasonOf(address: Address, port: number, { allow, own, byName }: CheckOptions): string | undefined {
  const isOwn = own.has(address);
  if (isOwn && own.listensOn(port)) return `${address.text}:${port} is this server itself, which is never reached`;
  const naming = allow.networksOf(address, port);
  if (MAIL_PORTS.has(port) && !naming.some(namesPort)) {
    return `port ${port} is for mail: only an entry by address and port permits it`;
  }
  const found = SPECIAL.find(([network]) => networkContains(network, address));
  const [network, isPrivate = false, what = ""] = found ?? [];
  // The addresses of this machine must be named one by one; loopback as the network that it is.
  if (isOwn && (found === undefined || isPrivate)) {
    return naming.some(({ network: { prefix } }) => prefix === (address.family === 4 ? 32 : 128))
      ? undefined
      : `${address.text} is an address of the server: only an entry for this very address permits it`;
  }
  if (network === undefined || (isPrivate && byName)) return undefined;
  if (naming.some((entry) => liesWithin(entry.network, network))) return undefined;
  return `${address.text} is ${what}: only an entry by address within ${network.text} permits it`;
}

function namesPort({ ports }: NetworkEntry): boolean {
  return ports !== undefined && ports.from === ports.to;
}

function liesWithin(inner: Network, outer: Network): boolean {
  return inner.prefix >= outer.prefix && networkContains(outer, { ...inner });
}

function special(what: string, isPrivate: boolean, networks: readonly string[]): [Network, boolean, string][] {
  return networks.map((text) => [parseNetwork(text), isPrivate, what]);
}
