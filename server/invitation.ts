import { parseAddress } from "../net/address.ts";
import type { Invite } from "../protocol/invite.ts";
import type { ServerOptions } from "./options.ts";

/** What every invite of a server says, but for its token. */
export function invitationOf(
  { address, tls }: ServerOptions,
  { hostname, tlsPort, pin }: { hostname: string; tlsPort: number; pin: string | undefined },
): Omit<Invite, "token"> {
  const server = address ?? `${hostname}:${tlsPort}`;
  const host = server.replace(/:\d+$/, "").replace(/^\[|\]$/g, "");
  // The server's own certificate is good for its internal name, which clients ask for when they dial an address.
  const covered = host === hostname || (tls?.certificate === undefined && parseAddress(host) !== null);
  return {
    server: /:\d+$/.test(server) ? server : `${server}:${tlsPort}`,
    ...(pin === undefined ? {} : { pin }),
    ...(covered ? {} : { sni: hostname }),
  };
}
