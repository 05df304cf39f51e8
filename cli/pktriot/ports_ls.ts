import type { CommandContext } from "../command_context.ts";
import { loadConfig } from "../config_file.ts";
import { clientConfigSchema, type PortMapEntry } from "./config.ts";
import { findConfig } from "./config_path.ts";
import { readDoorStates } from "./door_status.ts";
import { type DoorStates, jsonOfDoorState, renderFailedOf, renderPortMaps } from "./render_doors.ts";
import { toPortMap } from "./to_client_doors.ts";

/** `pktriot ports ls`. */
export async function portsLs(context: CommandContext, options: { json?: boolean }): Promise<void> {
  const path = await findConfig(context);
  const { value: { ports } } = await loadConfig(path, clientConfigSchema);
  const states = await readDoorStates(context, path);
  context.io.print(
    options.json === true
      ? JSON.stringify(jsonOfPorts(ports, states), null, 2)
      : [...renderPortMaps(ports, states), ...renderFailedOf(ports.map(toPortMap), states)],
  );
}

/** Port maps for `--json`: as they are configured, with what became of each if that is known. */
export function jsonOfPorts(ports: readonly PortMapEntry[], states: DoorStates): Record<string, unknown>[] {
  return ports.map((entry) => ({ ...entry, ...jsonOfDoorState(toPortMap(entry), states) }));
}
