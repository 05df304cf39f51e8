import type { CommandContext } from "../command_context.ts";
import { loadConfig } from "../config_file.ts";
import { parseDomain } from "../parse_domain.ts";
import { askServer } from "./ask_server.ts";
import { clientConfigSchema } from "./config.ts";
import { findConfig } from "./config_path.ts";

/** `pktriot domain rm`. */
export async function domainRm(context: CommandContext, name: string): Promise<void> {
  const domain = parseDomain(name);
  const { value: config } = await loadConfig(await findConfig(context), clientConfigSchema);
  await askServer(config, (tunnel) => tunnel.request("domain.remove", { domain }));
  context.io.print(`Domain ${domain} removed`);
}
