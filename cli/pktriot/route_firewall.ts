import type { CommandContext } from "../command_context.ts";
import { editConfig } from "../config_edit.ts";
import { loadConfig } from "../config_file.ts";
import { changeFirewall, type FirewallChange } from "./change_firewall.ts";
import { type ClientConfig, clientConfigSchema } from "./config.ts";
import { findConfig } from "./config_path.ts";
import { indexOfRule, putFirewall, type RuleKey } from "./edit_rules.ts";
import { noSuchRule } from "./no_such_rule.ts";
import { type FirewallRow, renderFirewallTable } from "./render_rules.ts";

/** `pktriot route http|tcp firewall allow|drop|rm`. */
export async function routeFirewallChange(
  context: CommandContext,
  key: RuleKey,
  change: FirewallChange,
): Promise<void> {
  await editConfig(await findConfig(context), clientConfigSchema, (tree, config) => {
    const index = indexOfRule(config, key);
    const rule = config[key.kind][index];
    if (rule === undefined) throw noSuchRule(key);
    putFirewall(tree, [key.kind, index], changeFirewall(rule.firewall, change));
  });
  context.io.print(change.action === "rm" ? "Firewall rule removed" : "Firewall rule added");
}

/** `pktriot route http|tcp firewall ls`, of one rule or of all. */
export async function routeFirewallLs(
  context: CommandContext,
  options: { kind: "http" | "tcp"; key?: RuleKey; json?: boolean },
): Promise<void> {
  const { value: config } = await loadConfig(await findConfig(context), clientConfigSchema);
  const rows = rowsOf(config, options.kind, options.key);
  if (options.json === true) context.io.print(JSON.stringify(rows.map(toJson(options.kind)), null, 2));
  else context.io.print(renderFirewallTable(options.kind === "http" ? "Domain" : "Port", rows));
}

function rowsOf(config: ClientConfig, kind: "http" | "tcp", key: RuleKey | undefined): FirewallRow[] {
  const rows = kind === "http"
    ? config.http.map(({ domain, firewall }) => ({ rule: domain, firewall }))
    : config.tcp.map(({ port, firewall }) => ({ rule: port, firewall }));
  if (key === undefined) return rows;
  const index = indexOfRule(config, key);
  const row = rows[index];
  if (row === undefined) throw noSuchRule(key);
  return [row];
}

function toJson(kind: "http" | "tcp") {
  return ({ rule, firewall }: FirewallRow): Record<string, unknown> => ({
    [kind === "http" ? "domain" : "port"]: rule,
    allow: firewall?.allow ?? [],
    drop: firewall?.drop ?? [],
  });
}
