import { CodedError } from "../../protocol/errors.ts";
import type { CommandContext } from "../command_context.ts";
import { editConfig } from "../config_edit.ts";
import { loadConfig } from "../config_file.ts";
import { askServer } from "./ask_server.ts";
import { clientConfigSchema } from "./config.ts";
import { findConfig } from "./config_path.ts";
import { indexOfRule, removeRule } from "./edit_rules.ts";

/** `pktriot route tcp release`: the port goes back to the server, and its rule with it. */
export async function routeTcpRelease(context: CommandContext, { port }: { port: number }): Promise<void> {
  const path = await findConfig(context);
  const { value: config } = await loadConfig(path, clientConfigSchema);
  const key = { kind: "tcp", port } as const;
  try {
    await askServer(config, (tunnel) => tunnel.request("port.release", { port }));
  } catch (error) {
    // The server has taken it back already: what is left to do is to forget the rule.
    const isGone = error instanceof CodedError && (error.kind === "PORT_NOT_ALLOCATED" || error.kind === "PORT_TAKEN");
    if (!isGone || indexOfRule(config, key) === -1) throw error;
  }
  await editConfig(path, clientConfigSchema, (tree, value) => void removeRule(tree, value, key));
  context.io.print(`Released port ${port}`);
}
