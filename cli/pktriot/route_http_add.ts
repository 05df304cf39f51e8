import type { CommandContext } from "../command_context.ts";
import { editConfig } from "../config_edit.ts";
import { loadConfig } from "../config_file.ts";
import { parseDomain } from "../parse_domain.ts";
import { usageError } from "../command_error.ts";
import { checkRule, describeVerdict } from "./check_rule.ts";
import { clientConfigSchema, type HttpEntry } from "./config.ts";
import { findConfig } from "./config_path.ts";
import { putHttp } from "./edit_rules.ts";
import { targetFromOptions, type TargetOptions } from "./target_options.ts";
import { toWireHttp } from "./to_client_rules.ts";

/** Flags of `route http add`. */
export interface RouteHttpAddOptions extends Omit<TargetOptions, "dstport"> {
  domain?: string;
  hostHeader?: string;
  insecureUpstream?: boolean;
  offline?: boolean;
}

/**
 * `pktriot route http add`. The server is asked before the file is written, so that a refused rule never reaches a running
 * `start`; a server that does not answer in 3 s does not hold the edit up.
 */
export async function routeHttpAdd(context: CommandContext, options: RouteHttpAddOptions): Promise<void> {
  const { io } = context;
  const path = await findConfig(context);
  const { value: config } = await loadConfig(path, clientConfigSchema);
  const domain = options.domain === undefined ? config.tunnel.hostname : parseDomain(options.domain);
  const target = await targetFromOptions(options);
  if (options.insecureUpstream === true && !target.startsWith("https://")) {
    throw usageError("--insecure-upstream is for https:// targets", { fix: "Leave it away." });
  }
  const entry: Omit<HttpEntry, "firewall"> = {
    domain,
    target,
    hostHeader: options.hostHeader,
    insecureUpstream: options.insecureUpstream,
  };
  const { firewall } = config.http.find((rule) => rule.domain === domain) ?? {};
  const verdict = options.offline === true
    ? { kind: "unchecked" as const }
    : await checkRule(io, config, toWireHttp({ ...entry, firewall }));
  let done: "added" | "updated" = "added";
  await editConfig(path, clientConfigSchema, (tree, value) => {
    done = putHttp(tree, value, entry);
  });
  io.print([`HTTP/S traffic rule ${done}`, ...describeVerdict(verdict, target)]);
}
