import type { Welcome } from "../../protocol/message.ts";
import type { Rule } from "../../protocol/rule.ts";

/** Where visitors reach an HTTP rule over TLS. */
export function publicHttpsAddress(domain: string, { tlsPort }: Pick<Welcome["server"], "tlsPort">): string {
  return tlsPort === 443 ? `https://${domain}` : `https://${domain}:${tlsPort}`;
}

/** How other tunnels reach a rule that has no public address. */
export function privateAddress(rule: Rule): string {
  if (rule.kind === "http") return `${rule.service ?? rule.domain} in the mesh`;
  return rule.service === undefined ? `port ${rule.port} in the mesh` : `${rule.service} in the mesh`;
}
