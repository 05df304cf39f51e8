import type { CommandContext } from "../command_context.ts";
import { loadServerConfig } from "./config_path.ts";
import { openState } from "./open_state.ts";
import { renderTokens, tokenFacts } from "./render_state.ts";

/** `spokes token ls`. */
export async function tokenLs(context: CommandContext, options: { json?: boolean }): Promise<void> {
  await using opened = await openState(await loadServerConfig(context));
  const tokens = await opened.state.enrolmentTokens.list();
  const now = Date.now();
  if (options.json !== true) return context.io.print(renderTokens(tokens, now));
  context.io.print(JSON.stringify(tokens.map((token) => tokenFacts(token, now)), null, 2));
}
