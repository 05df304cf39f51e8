import type { CommandContext } from "../command_context.ts";
import { loadConfig } from "../config_file.ts";
import { clientConfigSchema } from "./config.ts";
import { findConfig } from "./config_path.ts";
import { renderPortMaps } from "./render_doors.ts";

/** `pktriot ports ls`. */
export async function portsLs(context: CommandContext, options: { json?: boolean }): Promise<void> {
  const { value: { ports } } = await loadConfig(await findConfig(context), clientConfigSchema);
  context.io.print(options.json === true ? JSON.stringify(ports, null, 2) : renderPortMaps(ports));
}
