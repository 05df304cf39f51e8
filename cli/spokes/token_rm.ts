import type { CommandContext } from "../command_context.ts";
import { CommandError } from "../command_error.ts";
import { loadServerConfig } from "./config_path.ts";
import { openState } from "./open_state.ts";

/** `spokes token rm ID`. */
export async function tokenRm(context: CommandContext, id: string): Promise<void> {
  await using opened = await openState(await loadServerConfig(context));
  if (!await opened.state.enrolmentTokens.remove(id)) {
    throw new CommandError("NOT_FOUND", `There is no enrolment token "${id}"`, {
      fix: "List them with `spokes token ls`.",
    });
  }
  context.io.print("Token removed; tunnels that were made with it stay");
}
