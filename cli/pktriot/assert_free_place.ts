import { describeDoor, type Door, formatDoorAddress } from "../../client/doors/door.ts";
import { CommandError } from "../command_error.ts";
import type { ClientConfig } from "./config.ts";
import { toClientDoors } from "./to_client_doors.ts";

/** Two doors at one address would be in each other's way. @throws {CommandError} ALREADY_EXISTS when a door of another kind is there */
export function assertFreePlace(config: Pick<ClientConfig, "ports" | "proxies">, door: Door): void {
  const address = formatDoorAddress(door.listen);
  const other = toClientDoors(config).find(({ kind, listen }) =>
    kind !== door.kind && formatDoorAddress(listen) === address
  );
  if (other === undefined) return;
  throw new CommandError("ALREADY_EXISTS", `The ${describeDoor(other)} is there already`, {
    fix: "Choose another port, or remove it first.",
  });
}
