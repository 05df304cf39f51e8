import { CodedError } from "../../protocol/errors.ts";
import type { CommandContext } from "../command_context.ts";
import { editConfig } from "../config_edit.ts";
import { loadConfig } from "../config_file.ts";
import { parseDomain } from "../parse_domain.ts";
import { askServer } from "./ask_server.ts";
import { type ClientConfig, clientConfigSchema } from "./config.ts";
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
  const released = options.release === true && await release(config, domain, { exists });
  await editConfig(path, clientConfigSchema, (tree, value) => void removeRule(tree, value, { kind: "http", domain }));
  if (exists) context.io.print("HTTP/S traffic rule removed");
  if (released) context.io.print(`Released ${domain}`);
  else if (options.release === true) {
    context.io.print(`There is nothing to release: ${domain} is not reserved by a rule of this tunnel`);
  }
}

/** A rule that was never published has reserved nothing: that is no reason to keep it. */
async function release(config: ClientConfig, domain: string, { exists }: { exists: boolean }): Promise<boolean> {
  try {
    await askServer(config, (tunnel) => tunnel.request("name.release", { domain }));
    return true;
  } catch (error) {
    if (exists && error instanceof CodedError && error.kind === "NAME_NOT_ALLOWED") return false;
    throw error;
  }
}
