import type { ListedService } from "../../protocol/request.ts";
import type { CommandContext } from "../command_context.ts";
import { loadConfig } from "../config_file.ts";
import { renderTable } from "../table.ts";
import { askServer } from "./ask_server.ts";
import { clientConfigSchema } from "./config.ts";
import { findConfig } from "./config_path.ts";

/** `pktriot services`. */
export async function services(context: CommandContext, options: { json?: boolean }): Promise<void> {
  const { io } = context;
  const { value: config } = await loadConfig(await findConfig(context), clientConfigSchema);
  const { services: listed, more } = await askServer(config, (tunnel) => tunnel.request("service.list", {}));
  io.print(options.json === true ? JSON.stringify(listed, null, 2) : renderServices(listed));
  if (more !== undefined) io.report(`There are ${more} more.`);
}

/** What a tunnel may reach, as a table. */
function renderServices(listed: readonly ListedService[]): string[] {
  return renderTable(
    ["Name", "Kind", "Owner", "Tunnel", "Port", "Online"],
    listed.map(({ name, kind, owner, tunnel, port, online }) => [
      ...[name, kind, owner ?? "--", tunnel ?? "--", port ?? "--", online ? "yes" : "no"],
    ]),
  );
}
