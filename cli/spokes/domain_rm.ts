import type { CommandContext } from "../command_context.ts";
import { CommandError } from "../command_error.ts";
import { parseDomain } from "../parse_domain.ts";
import { loadServerConfig } from "./config_path.ts";
import { openState } from "./open_state.ts";

/**
 * `spokes domain rm`: its rules end at once, also of a server that runs. One that nobody has proven yet is taken from all who wait for
 * it; who waits for one that is verified goes on to wait.
 */
export async function domainRm(context: CommandContext, name: string): Promise<void> {
  const domain = parseDomain(name);
  await using opened = await openState(await loadServerConfig(context));
  const { domains, names } = opened.state;
  const proven = names.provenOf().find((each) => each.domain === domain);
  const waiting = domains.list().filter((each) => each.domain === domain);
  if (proven !== undefined) await names.release({ id: proven.tunnel }, domain);
  else if (waiting.length > 0) await Promise.all(waiting.map(({ tunnel }) => domains.remove(tunnel, domain)));
  else {
    throw new CommandError("NOT_FOUND", `No tunnel has proven that "${domain}" is theirs, or waits for it`, {
      fix: "List them with `spokes domain ls`.",
    });
  }
  context.io.print(`Domain ${domain} removed`);
}
