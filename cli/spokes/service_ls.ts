import type { CommandContext } from "../command_context.ts";
import { renderTable } from "../table.ts";
import { timeText } from "../time_text.ts";
import { loadServerConfig } from "./config_path.ts";
import { openState } from "./open_state.ts";
import { isoTime } from "./render_state.ts";

/** `spokes service ls`. */
export async function serviceLs(context: CommandContext, options: { json?: boolean }): Promise<void> {
  await using opened = await openState(await loadServerConfig(context));
  const rows = opened.state.serviceNames.list();
  if (options.json === true) {
    const facts = rows.map((row) => ({
      ...row,
      offeredAt: isoTime(row.offeredAt),
      keptUntil: isoTime(row.keptUntil),
    }));
    return context.io.print(JSON.stringify(facts, null, 2));
  }
  context.io.print(renderTable(
    ["Service", "Owner", "Last offered", "Kept until"],
    rows.map(({ name, owner, offeredAt, keptUntil }) => [name, owner, timeText(offeredAt), timeText(keptUntil)]),
  ));
}
