import type { CommandContext } from "../command_context.ts";
import { CommandError } from "../command_error.ts";
import { parseDomain } from "../parse_domain.ts";
import { loadServerConfig } from "./config_path.ts";
import { openState } from "./open_state.ts";

/** `spokes domain rm`: its rules end at once, also of a server that runs. */
export async function domainRm(context: CommandContext, name: string): Promise<void> {
  const domain = parseDomain(name);
  await using opened = await openState(await loadServerConfig(context));
  const { names } = opened.state;
  const proven = names.provenOf().find((each) => each.domain === domain);
  if (proven === undefined) {
    throw new CommandError("NOT_FOUND", `No tunnel has proven that "${domain}" is theirs`, {
      fix: "List them with `spokes domain ls`.",
    });
  }
  await names.release({ id: proven.tunnel }, domain);
  context.io.print(`Domain ${domain} removed`);
}
