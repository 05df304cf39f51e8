import { DEFAULT_LISTENERS } from "../../server/default_listeners.ts";
import { createLookUp } from "../../server/mesh/look_up.ts";
import { OwnAddresses, ownPlaces } from "../../server/mesh/own_addresses.ts";
import type { ServerConfig } from "./config.ts";

/** Where the server would listen. */
export function ownAddressesOf(config: ServerConfig): OwnAddresses {
  const { domain, hostname = domain, address, http, tls, admin, tcp, mesh } = config;
  const defaults = DEFAULT_LISTENERS;
  const httpPorts = [http?.listen?.port ?? defaults.http.port, http?.public_port];
  const tlsPorts = [tls?.listen?.port ?? defaults.tls.port, tls?.public_port];
  const adminPort = typeof admin === "object" ? admin.listen.port : defaults.admin.port;
  const { socks, connectTlsListen } = mesh || {};
  const proxies = [socks?.listen?.port, socks?.tlsListen?.port, connectTlsListen?.port];
  const ports = [...httpPorts, ...tlsPorts, ...proxies, adminPort].filter((port) => port !== undefined);
  const lookUp = createLookUp([]);
  return new OwnAddresses({
    ...ownPlaces([hostname], address),
    ports: () => [...ports.map((port) => ({ from: port, to: port })), tcp?.ports ?? defaults.tcp],
    lookUp: (name, signal) => lookUp(name, signal).catch(() => []),
  });
}
