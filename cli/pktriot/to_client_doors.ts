import type { Door, DoorAddress, PortMap, ProxyDoor } from "../../client/doors/door.ts";
import { toDestination } from "../../protocol/destination.ts";
import type { ClientConfig, PortMapEntry, ProxyEntry } from "./config.ts";
import { LOOPBACK } from "./door_schema.ts";

/** The ways into the mesh that a configuration has, as `connect()` takes them. */
export function toClientDoors({ ports, proxies }: Pick<ClientConfig, "ports" | "proxies">): Door[] {
  const { socks, http } = proxies;
  return [
    ...ports.map(toPortMap),
    ...(socks === undefined ? [] : [toProxy("socks", socks)]),
    ...(http === undefined ? [] : [toProxy("http", http)]),
  ];
}

/** A port map of the configuration as a door. */
export function toPortMap(entry: PortMapEntry): PortMap {
  return {
    kind: "map",
    listen: listenOf(entry),
    destination: toDestination(entry.destination, entry.destinationPort),
    ...(entry.label === undefined ? {} : { label: entry.label }),
    ...(entry.auth === "none" ? { openToNetwork: true } : {}),
  };
}

/** A proxy of the configuration as a door. */
export function toProxy(kind: ProxyDoor["kind"], { auth, ...place }: ProxyEntry): ProxyDoor {
  return {
    kind,
    listen: listenOf(place),
    ...(auth === "none" ? { openToNetwork: true } : {}),
    ...(typeof auth === "object" ? { auth: { user: auth.user, passwordHash: auth.hash } } : {}),
  };
}

function listenOf({ port, unix, bind }: Partial<Pick<PortMapEntry, "port" | "unix" | "bind">>): DoorAddress {
  return unix === undefined ? { hostname: bind ?? LOOPBACK, port: port ?? 0 } : { unix };
}
