import { isLoopback } from "../../net/address.ts";
import { type Destination, formatDestination } from "../../protocol/destination.ts";
import { CodedError } from "../../protocol/errors.ts";

/** Where a door listens: an address and port of this machine (port 0: any that is free), or the path of a unix socket. */
export type DoorAddress = { readonly hostname: string; readonly port: number } | { readonly unix: string };

/** Who may come in through a proxy. */
export interface DoorAuth {
  readonly user: string;
  /** As `hashPassword()` makes it. */
  readonly passwordHash: string;
}

interface CommonDoor {
  readonly listen: DoorAddress;
  /** What it is, for people. */
  readonly label?: string;
  /** Others on the network may use it without a password. @default false: an address that is not loopback needs `auth` */
  readonly openToNetwork?: boolean;
}

/** A local port that leads to one destination. */
export interface PortMap extends CommonDoor {
  readonly kind: "map";
  readonly destination: Destination;
}

/** A local proxy, whose programs say where they want to go. */
export interface ProxyDoor extends CommonDoor {
  /** SOCKS5, or HTTP CONNECT. */
  readonly kind: "socks" | "http";
  /** @default nobody is asked */
  readonly auth?: DoorAuth;
}

/** A way for programs of this machine into the mesh. */
export type Door = PortMap | ProxyDoor;

/** What became of a door. */
export interface DoorState {
  /** `map/127.0.0.1:3306`, `socks/127.0.0.1:1080`, `http/unix:/run/proxy`. */
  readonly id: string;
  readonly state: "open" | "failed";
  /** Where it really listens. */
  readonly address: string;
  /** Why it is not open; it is tried again when that may help. */
  readonly code?: string;
  readonly message?: string;
}

const NAMES = { map: "port map", socks: "SOCKS5 proxy", http: "HTTP proxy" } as const satisfies Record<
  Door["kind"],
  string
>;

/** The address as text: `127.0.0.1:3306`, `[::1]:1080`, `unix:/run/db`. */
export function formatDoorAddress(address: DoorAddress): string {
  return "unix" in address ? `unix:${address.unix}` : formatDestination({ host: address.hostname, port: address.port });
}

/** What names a door among those of a client. */
export function doorId({ kind, listen }: Door): string {
  return `${kind}/${formatDoorAddress(listen)}`;
}

/** A door as people know it: `port map 127.0.0.1:3306 to mariadb:22123`. */
export function describeDoor(door: Door): string {
  const name = `${NAMES[door.kind]} ${formatDoorAddress(door.listen)}`;
  return door.kind === "map" ? `${name} to ${formatDestination(door.destination)}` : name;
}

/** Refuses a door that lets others in unasked. @throws {CodedError} DOOR_UNSAFE */
export function assertSafe(door: Door): void {
  const { listen } = door;
  if ("unix" in listen || isLocal(listen.hostname) || door.openToNetwork === true) return;
  if (door.kind !== "map" && door.auth !== undefined) return;
  throw new CodedError("DOOR_UNSAFE", "Others on the network could use it without a password");
}

function isLocal(hostname: string): boolean {
  return hostname === "localhost" || isLoopback(hostname);
}
