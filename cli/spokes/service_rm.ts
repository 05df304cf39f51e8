import { isServiceName } from "../../protocol/destination.ts";
import { ERRORS } from "../../protocol/errors.ts";
import type { CommandContext } from "../command_context.ts";
import { CommandError } from "../command_error.ts";
import { escapeText } from "../escape_text.ts";
import { loadServerConfig } from "./config_path.ts";
import { openState } from "./open_state.ts";

/** `spokes service rm`: rules that offer it end at once, also of a server that runs. */
export async function serviceRm(context: CommandContext, name: string): Promise<void> {
  await using opened = await openState(await loadServerConfig(context));
  const owner = isServiceName(name) ? await opened.state.serviceNames.release(name) : undefined;
  if (owner === undefined) {
    throw new CommandError("NOT_FOUND", `The service name "${name}" belongs to nobody`, {
      fix: "List them with `spokes service ls`.",
    });
  }
  context.io.print([
    `Service ${name} removed: it was ${owner}'s, and is free`,
    `Rules of ${owner} that offered it are inactive (${ERRORS.SERVICE_WITHDRAWN.code}): the log of the server has each of them`,
  ].map(escapeText));
}
