import type { ServerAddress } from "../../client/options.ts";
import type { ClientConfig } from "./config.ts";

/** The server of a configuration, as the client library takes it. */
export function serverAddressOf({ server }: Pick<ClientConfig, "server">): ServerAddress {
  return {
    server: server.address,
    ...(server.sni === undefined ? {} : { sni: server.sni }),
    ...(server.ca === undefined ? {} : { ca: server.ca }),
  };
}
