import type { CommandContext } from "../command_context.ts";
import { editConfig } from "../config_edit.ts";
import { loadConfig } from "../config_file.ts";
import { parseDomain } from "../parse_domain.ts";
import { askServer } from "./ask_server.ts";
import { clientConfigSchema } from "./config.ts";
import { findConfig } from "./config_path.ts";
import { removeRule } from "./edit_rules.ts";
import { noSuchRule } from "./no_such_rule.ts";

/** Flags of `route http rm`. */
export interface RouteHttpRmOptions {
  domain: string;
  release?: boolean;
}

/** `pktriot route http rm`. The name stays the tunnel's own unless it is released: taking a rule away must not lose it to others. */
export async function routeHttpRm(context: CommandContext, options: RouteHttpRmOptions): Promise<void> {
  const path = await findConfig(context);
  const domain = parseDomain(options.domain);
  const { value: config } = await loadConfig(path, clientConfigSchema);
  const exists = config.http.some((entry) => entry.domain === domain);
  if (!exists && options.release !== true) throw noSuchRule({ kind: "http", domain });
  if (options.release === true) {
    await askServer(config, (tunnel) => tunnel.request("name.release", { domain }));
  }
  await editConfig(path, clientConfigSchema, (tree, value) => void removeRule(tree, value, { kind: "http", domain }));
  if (exists) context.io.print("HTTP/S traffic rule removed");
  if (options.release === true) context.io.print(`Released ${domain}`);
}
