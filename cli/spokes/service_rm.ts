import { isServiceName } from "../../protocol/destination.ts";
import type { CommandContext } from "../command_context.ts";
import { CommandError } from "../command_error.ts";
import { loadServerConfig } from "./config_path.ts";
import { openState } from "./open_state.ts";

/** `spokes service rm`: rules that offer it end at once, also of a server that runs. */
export async function serviceRm(context: CommandContext, name: string): Promise<void> {
  await using opened = await openState(await loadServerConfig(context));
  if (!isServiceName(name) || !await opened.state.serviceNames.release(name)) {
    throw new CommandError("NOT_FOUND", `The service name "${name}" belongs to nobody`, {
      fix: "List them with `spokes service ls`.",
    });
  }
  context.io.print(`Service ${name} removed`);
}
