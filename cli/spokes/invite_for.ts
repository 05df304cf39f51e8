import { openAuthority } from "../../server/authority.ts";
import { parseAddress } from "../../net/address.ts";
import { encodeInvite } from "../../protocol/invite.ts";
import { formatHostPort, parseHostPort } from "../parse_listen.ts";
import type { LoadedServerConfig } from "./config_path.ts";
import { stateFolderOf } from "./server_options.ts";

const DEFAULT_TLS_PORT = 443;

/**
 * The line that makes a client of this server. Without a certificate of the operator's own it carries the pin of the
 * server's authority, which is made now if there is none.
 * @throws {CodedError} STATE_UNAVAILABLE, CERTIFICATE_INVALID
 */
export async function inviteFor(loaded: LoadedServerConfig, token: string): Promise<string> {
  const { config } = loaded;
  const hostname = config.hostname ?? config.domain;
  const server = addressOf(loaded);
  const dialled = parseHostPort(server)?.hostname ?? hostname;
  const hasOwn = config.tls?.certificate !== undefined;
  const pin = hasOwn ? undefined : (await openAuthority(stateFolderOf(loaded), { hostname })).pin;
  // The server's own certificate is good for its internal name, which clients ask for when they dial an address.
  const isCovered = dialled === hostname || (!hasOwn && parseAddress(dialled) !== null);
  return encodeInvite({
    server,
    token,
    ...(pin === undefined ? {} : { pin }),
    ...(isCovered ? {} : { sni: hostname }),
  });
}

/** What clients dial: what the configuration says, else the server's name and its public port. */
function addressOf({ config }: LoadedServerConfig): string {
  const port = config.tls?.public_port ?? (config.tls?.listen?.port || DEFAULT_TLS_PORT);
  return config.address ?? formatHostPort({ hostname: config.hostname ?? config.domain, port });
}
