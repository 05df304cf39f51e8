import type { CommandContext } from "../command_context.ts";
import { editConfig } from "../config_edit.ts";
import { loadConfig } from "../config_file.ts";
import { askServer } from "./ask_server.ts";
import { type ClientConfig, clientConfigSchema } from "./config.ts";
import { findConfig } from "./config_path.ts";
import { putTcp } from "./edit_rules.ts";

/** `pktriot route tcp allocate`: a free port, or the one asked for. */
export async function routeTcpAllocate(
  context: CommandContext,
  options: { port?: number; json?: boolean },
): Promise<void> {
  const path = await findConfig(context);
  const { value: config } = await loadConfig(path, clientConfigSchema);
  const port = await allocatePort(config, options.port);
  // Said before the edit: the port is the tunnel's whatever becomes of the file.
  context.io.print(options.json === true ? JSON.stringify({ port }) : `Allocated port ${port}`);
  await editConfig(path, clientConfigSchema, (tree, value) => void putTcp(tree, value, { port }));
}

/** Asks the server for a port, which belongs to the tunnel until it is released. */
export async function allocatePort(config: ClientConfig, port?: number): Promise<number> {
  const params = port === undefined ? {} : { port };
  return (await askServer(config, (tunnel) => tunnel.request("port.allocate", params))).port;
}
