import type { Tunnel } from "../../server/state/tunnels.ts";
import type { CommandContext } from "../command_context.ts";
import { CommandError } from "../command_error.ts";
import { loadServerConfig } from "./config_path.ts";
import { openState } from "./open_state.ts";

/** `spokes tunnel rm ID|HOSTNAME`: its sessions end at once, its names rest, its ports are free. */
export async function tunnelRm(context: CommandContext, which: string): Promise<void> {
  await using opened = await openState(await loadServerConfig(context));
  const { tunnels } = opened.state;
  const tunnel = findTunnel(tunnels.list(), which);
  await tunnels.remove(tunnel.id);
  context.io.print(`Tunnel ${tunnel.hostname} removed`);
}

function findTunnel(tunnels: readonly Tunnel[], which: string): Tunnel {
  const found = tunnels.filter(({ id, hostname }) => id === which || hostname === which.toLowerCase());
  const [tunnel] = found;
  // Names are not unique, so they do not name what is to be destroyed.
  if (tunnel === undefined) {
    throw new CommandError("NOT_FOUND", `There is no tunnel with the id or hostname "${which}"`, {
      fix: "List them with `spokes tunnel ls`.",
    });
  }
  return tunnel;
}
