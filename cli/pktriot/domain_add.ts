import type { CommandContext } from "../command_context.ts";
import { loadConfig } from "../config_file.ts";
import { parseDomain } from "../parse_domain.ts";
import { askServer } from "./ask_server.ts";
import { clientConfigSchema } from "./config.ts";
import { findConfig } from "./config_path.ts";
import { renderAddedDomain } from "./render_domains.ts";

/** `pktriot domain add`: what to set in the DNS. */
export async function domainAdd(context: CommandContext, name: string, options: { json?: boolean }): Promise<void> {
  const domain = parseDomain(name);
  const { value: config } = await loadConfig(await findConfig(context), clientConfigSchema);
  const added = await askServer(config, (tunnel) => tunnel.request("domain.add", { domain }));
  context.io.print(options.json === true ? JSON.stringify(added, null, 2) : renderAddedDomain(added));
}
