import { CommandError } from "../command_error.ts";
import type { CommandContext } from "../command_context.ts";
import { editConfig } from "../config_edit.ts";
import { clientConfigSchema } from "./config.ts";
import { findConfig } from "./config_path.ts";
import { type ProxyKind, removeProxy } from "./edit_doors.ts";
import { PROXY_NAMES } from "./render_doors.ts";

/** `pktriot proxies socks rm`, `proxies http rm`. */
export async function proxiesRm(context: CommandContext, kind: ProxyKind): Promise<void> {
  await editConfig(await findConfig(context), clientConfigSchema, (tree, { proxies }) => {
    if (proxies[kind] !== undefined) return removeProxy(tree, kind);
    throw new CommandError("RULE_UNKNOWN", `There is no ${PROXY_NAMES[kind]} proxy`, {
      fix: "List them with `pktriot proxies ls`.",
    });
  });
  context.io.print(`Removed ${PROXY_NAMES[kind]} proxy`);
}
