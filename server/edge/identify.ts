import { addressMatcher } from "../../net/address.ts";
import { canonicalAddress } from "../../net/http/forwarded.ts";
import type { Peer } from "../../net/listen.ts";
import { readProxyHeader } from "../../net/proxy_header.ts";
import type { SocketDuplex } from "../../net/socket_duplex.ts";

/**
 * Says who is at the other end of a new connection, in canonical form. The connection is reset when it rejects.
 * @throws {CodedError} PROXY_HEADER_INVALID
 */
export type Identify = (duplex: SocketDuplex, peer: Peer) => Peer | Promise<Peer>;

/** Believes PROXY protocol from the listed networks, which must then begin every connection with it, and from nobody else (security R21). */
export function identifier(balancers: readonly string[]): Identify {
  if (balancers.length === 0) return (_duplex, peer) => canonical(peer);
  const isBalancer = addressMatcher(balancers);
  return (duplex, peer) => {
    const direct = canonical(peer);
    return isBalancer(direct.address) ? readSource(duplex, direct) : direct;
  };
}

async function readSource(duplex: SocketDuplex, balancer: Peer): Promise<Peer> {
  const { source, rest } = await readProxyHeader(duplex);
  duplex.unread(rest);
  return source === undefined ? balancer : canonical(source);
}

function canonical({ address, port }: Peer): Peer {
  return { address: canonicalAddress(address) ?? address, port };
}
