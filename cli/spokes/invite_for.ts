import { openAuthority } from "../../server/authority.ts";
import { parseAddress } from "../../net/address.ts";
import { encodeInvite } from "../../protocol/invite.ts";
import { formatHostPort, parseHostPort } from "../parse_listen.ts";
import type { LoadedServerConfig } from "./config_path.ts";
import { stateFolderOf } from "./server_options.ts";

const DEFAULT_TLS_PORT = 443;

/**
 * The line that makes a client of this server. It carries the pin of the server's own authority, which is made now if there is
 * none.
 * @throws {CodedError} STATE_UNAVAILABLE, CERTIFICATE_INVALID
 */
export async function inviteFor(loaded: LoadedServerConfig, token: string): Promise<string> {
  const { config } = loaded;
  const hostname = config.hostname ?? config.domain;
  const server = addressOf(loaded);
  const dialled = parseHostPort(server)?.hostname ?? hostname;
  const { pin } = await openAuthority(stateFolderOf(loaded), { hostname });
  // The internal name, which clients ask for when they dial an address, has the certificate of the server's own authority.
  const isCovered = dialled === hostname || parseAddress(dialled) !== null;
  return encodeInvite({
    server,
    token,
    pin,
    ...(isCovered ? {} : { sni: hostname }),
  });
}

/** What clients dial: what the configuration says, else the server's name and its public port. */
function addressOf({ config }: LoadedServerConfig): string {
  const port = config.tls?.public_port ?? (config.tls?.listen?.port || DEFAULT_TLS_PORT);
  return config.address ?? formatHostPort({ hostname: config.hostname ?? config.domain, port });
}
