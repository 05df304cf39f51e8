import type { ClientRule } from "../../client/options.ts";
import type { FirewallRule, Rule } from "../../protocol/rule.ts";
import type { ClientConfig, FirewallEntry, HttpEntry, TcpEntry } from "./config.ts";

/** What a configuration publishes, as `connect()` takes it. A port without a target is kept, not published. */
export function toClientRules(config: Pick<ClientConfig, "http" | "tcp">): ClientRule[] {
  return [
    ...config.http.map((entry): ClientRule => ({
      kind: "http",
      domain: entry.domain,
      target: entry.target,
      firewall: toFirewall(entry.firewall),
      ...(entry.hostHeader === undefined ? {} : { hostHeader: entry.hostHeader }),
      ...(entry.insecureUpstream === undefined ? {} : { insecureUpstream: entry.insecureUpstream }),
    })),
    ...config.tcp.flatMap((entry): ClientRule[] =>
      entry.target === undefined
        ? []
        : [{ kind: "tcp", port: entry.port, target: entry.target, firewall: toFirewall(entry.firewall) }]
    ),
  ];
}

/** An HTTP rule as the server checks it. */
export function toWireHttp(entry: HttpEntry): Rule {
  const { domain, target, hostHeader } = entry;
  const firewall = toFirewall(entry.firewall);
  return { kind: "http", domain, target, firewall, ...(hostHeader === undefined ? {} : { hostHeader }) };
}

/** A TCP rule as the server checks it. */
export function toWireTcp(entry: TcpEntry): Rule {
  const { port, target = "", firewall } = entry;
  return { kind: "tcp", transport: "tcp", port, target, firewall: toFirewall(firewall) };
}

function toFirewall(entry: FirewallEntry | undefined): FirewallRule[] {
  return [
    ...(entry?.allow ?? []).map((network) => ({ action: "allow", network }) as const),
    ...(entry?.drop ?? []).map((network) => ({ action: "drop", network }) as const),
  ];
}
