import { parseAddress } from "../net/address.ts";
import type { Invite } from "../protocol/invite.ts";
import type { ServerOptions } from "./options.ts";

/** What every invite of a server says, but for its token. */
export function invitationOf(
  { address }: Pick<ServerOptions, "address">,
  { hostname, tlsPort, pin }: { hostname: string; tlsPort: number; pin: string | undefined },
): Omit<Invite, "token"> {
  const server = address ?? `${hostname}:${tlsPort}`;
  const host = server.replace(/:\d+$/, "").replace(/^\[|\]$/g, "");
  // The internal name, which clients ask for when they dial an address, has the certificate of the server's own authority.
  const covered = host === hostname || (pin !== undefined && parseAddress(host) !== null);
  return {
    server: /:\d+$/.test(server) ? server : `${server}:${tlsPort}`,
    ...(pin === undefined ? {} : { pin }),
    ...(covered ? {} : { sni: hostname }),
  };
}
