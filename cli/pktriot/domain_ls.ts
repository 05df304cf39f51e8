import type { CommandContext } from "../command_context.ts";
import { loadConfig } from "../config_file.ts";
import { askServer } from "./ask_server.ts";
import { clientConfigSchema } from "./config.ts";
import { findConfig } from "./config_path.ts";
import { renderDomains } from "./render_domains.ts";

/** `pktriot domain ls`. */
export async function domainLs(context: CommandContext, options: { json?: boolean }): Promise<void> {
  const { value: config } = await loadConfig(await findConfig(context), clientConfigSchema);
  const { domains } = await askServer(config, (tunnel) => tunnel.request("domain.list", {}));
  context.io.print(options.json === true ? JSON.stringify(domains, null, 2) : renderDomains(domains));
}
