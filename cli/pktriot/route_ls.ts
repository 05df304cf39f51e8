import type { CommandContext } from "../command_context.ts";
import { loadConfig } from "../config_file.ts";
import { clientConfigSchema } from "./config.ts";
import { findConfig } from "./config_path.ts";
import { askStates, jsonOfRule, type LiveStates, statesOf } from "./live_states.ts";
import {
  entryId,
  renderHttpTable,
  renderInactive,
  renderPlainPassword,
  renderTcpTable,
  renderWarnings,
} from "./render_rules.ts";

/** `pktriot route http ls` and `route tcp ls`: what the configuration says, and what the server makes of it if it answers in time. */
export async function routeLs(
  context: CommandContext,
  options: { kind: "http" | "tcp"; json?: boolean; offline?: boolean },
): Promise<void> {
  const { io } = context;
  const { value: config } = await loadConfig(await findConfig(context), clientConfigSchema);
  const live: LiveStates = options.offline === true ? { kind: "unknown" } : await askStates(config);
  if (options.json === true) {
    io.print(JSON.stringify(config[options.kind].map((entry) => jsonOfRule(entry, live)), null, 2));
  } else {
    const states = statesOf(live);
    const listed = config[options.kind].map((entry) => states.get(entryId(entry))).filter((state) =>
      state !== undefined
    );
    io.print([
      ...(options.kind === "http" ? renderHttpTable(config.http, states) : renderTcpTable(config.tcp)),
      ...renderInactive(listed),
      ...renderWarnings(listed, config.http),
      ...(options.kind === "http" ? config.http.flatMap(renderPlainPassword) : []),
    ]);
  }
  reportMissing(context, live);
}

/** One line on why there are no states; who asked for none needs none. */
function reportMissing({ io }: CommandContext, live: LiveStates): void {
  if (live.kind === "stopped") io.report("Not running: `pktriot start` publishes the rules.");
  else if (live.kind === "unknown" && live.reason !== undefined) {
    io.report(`The states of the rules are not known: ${live.reason}`);
  }
}
