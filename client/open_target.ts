import type { SocketDuplex } from "../net/socket_duplex.ts";
import type { Endpoint } from "../protocol/proxy_protocol.ts";
import type { SocketDestination } from "./destination.ts";
import { dialTarget } from "./dial_target.ts";

/** Connects to the target of a rule, for a visitor. @throws {CodedError} as {@link dialTarget} */
export function openTarget(destination: SocketDestination, visitor: Endpoint): Promise<SocketDuplex> {
  const { target, options, proxyProtocol } = destination;
  // The header is ours, not the visitor's: `fin` does not count it.
  return dialTarget(target, proxyProtocol === undefined ? options : { ...options, proxyFor: visitor });
}
