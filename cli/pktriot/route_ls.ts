import type { CommandContext } from "../command_context.ts";
import { loadConfig } from "../config_file.ts";
import { clientConfigSchema } from "./config.ts";
import { findConfig } from "./config_path.ts";
import { renderHttpTable, renderTcpTable } from "./render_rules.ts";

/** `pktriot route http ls` and `route tcp ls`: what the configuration says, without asking the server. */
export async function routeLs(
  context: CommandContext,
  options: { kind: "http" | "tcp"; json?: boolean },
): Promise<void> {
  const { value: config } = await loadConfig(await findConfig(context), clientConfigSchema);
  if (options.json === true) context.io.print(JSON.stringify(config[options.kind], null, 2));
  else context.io.print(options.kind === "http" ? renderHttpTable(config.http) : renderTcpTable(config.tcp));
}
