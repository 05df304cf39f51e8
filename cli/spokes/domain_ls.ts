import type { CommandContext } from "../command_context.ts";
import { renderTable } from "../table.ts";
import { timeText } from "../time_text.ts";
import { loadServerConfig } from "./config_path.ts";
import { openState } from "./open_state.ts";
import { isoTime } from "./render_state.ts";

/** `spokes domain ls`. */
export async function domainLs(context: CommandContext, options: { json?: boolean }): Promise<void> {
  await using opened = await openState(await loadServerConfig(context));
  const { domains, names, tunnels } = opened.state;
  const verified = names.provenOf().map((each) => ({ ...each, status: "verified" }));
  const waiting = domains.list().map((request) => {
    const { domain, tunnel, since } = request;
    return { domain, tunnel, since, status: domains.isExpired(request) ? "expired" : "pending" };
  });
  const rows = [...verified, ...waiting].sort((a, b) => a.domain < b.domain ? -1 : 1);
  if (options.json === true) {
    const facts = rows.map((row) => ({ ...row, since: isoTime(row.since) }));
    return context.io.print(JSON.stringify(facts, null, 2));
  }
  context.io.print(renderTable(
    ["Domain", "Status", "Tunnel", "Owner", "Since"],
    rows.map(({ domain, status, tunnel, since }) => {
      const { hostname = tunnel, owner = "--" } = tunnels.get(tunnel) ?? {};
      return [domain, status, hostname, owner, timeText(since)];
    }),
  ));
}
