import { usageError } from "../command_error.ts";
import type { CommandContext } from "../command_context.ts";
import { editConfig } from "../config_edit.ts";
import { loadConfig } from "../config_file.ts";
import { askServer } from "./ask_server.ts";
import { clientConfigSchema } from "./config.ts";
import { findConfig } from "./config_path.ts";

/** As the server has it. */
const MAX_NAME_LENGTH = 64;

/** `pktriot edit --name X`. */
export async function edit(context: CommandContext, { name }: { name: string }): Promise<void> {
  if (name.trim() === "" || name.length > MAX_NAME_LENGTH) {
    throw usageError("A name has 1 to 64 characters", { fix: "Give another --name." });
  }
  const path = await findConfig(context);
  const { value: config } = await loadConfig(path, clientConfigSchema);
  await askServer(config, (tunnel) => tunnel.request("tunnel.rename", { name }));
  await editConfig(path, clientConfigSchema, (tree) => tree.setIn(["tunnel", "name"], name));
  context.io.print("Tunnel name updated");
}
