import type { CommandContext } from "../command_context.ts";
import { loadServerConfig } from "./config_path.ts";
import { openState } from "./open_state.ts";
import { isoTime, renderTunnels } from "./render_state.ts";

/** `spokes tunnel ls`. */
export async function tunnelLs(context: CommandContext, options: { json?: boolean }): Promise<void> {
  await using opened = await openState(await loadServerConfig(context));
  const { tunnels, sightings, names, ports } = opened.state;
  const rows = tunnels.list().map((tunnel) => ({ tunnel, sighting: sightings.get(tunnel.id) }));
  if (options.json !== true) return context.io.print(renderTunnels(rows));
  const facts = rows.map(({ tunnel, sighting }) => ({
    ...tunnel,
    createdAt: isoTime(tunnel.createdAt),
    names: names.listOf(tunnel.id),
    ports: ports.listOf(tunnel.id),
    lastSeen: sighting === undefined ? null : { ...sighting, at: isoTime(sighting.at) },
  }));
  context.io.print(JSON.stringify(facts, null, 2));
}
