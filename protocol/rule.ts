import { z } from "zod";
import { isServiceName } from "./destination.ts";
import { httpOptionsSchema } from "./http_options.ts";
import { MAX_NETWORKS_PER_RULE } from "./limits.ts";

/** One line of a rule's visitor firewall. */
const firewallRuleSchema = z.object({
  action: z.enum(["allow", "drop"]),
  /** An address or CIDR, IPv4 or IPv6. */
  network: z.string().min(1).max(64),
});

const common = {
  /** What the target is, for people; only the client interprets it. */
  target: z.string().max(1024),
  firewall: z.array(firewallRuleSchema).max(MAX_NETWORKS_PER_RULE).default([]),
  /** Name by which programs at other tunnels reach the target through the mesh. */
  service: z.string().max(63).refine(isServiceName, "it is not a service name such as redis").optional(),
  /** Reachable through the mesh alone: neither a public name nor a public port. */
  private: z.boolean().optional(),
  /** The client starts every connection to the target with the visitor's address (PROXY protocol). */
  proxyProtocol: z.literal("v2").optional(),
  /** Why the client keeps the rule closed, such as a certificate that does not match its key; the server reports it on. */
  fault: z.object({ code: z.string().max(16), message: z.string().max(1024) }).optional(),
};

/** A domain published over HTTP. */
const httpRuleSchema = z.object({
  kind: z.literal("http"),
  /** Canonical host name (lower case, A-labels). */
  domain: z.string().min(1).max(253),
  ...common,
  /**
   * Where the TLS of its visitors ends: at the server, in the client, or at the target, which then gets the bytes untouched. Without it
   * the server ends it for names that it has a certificate for, and HTTPS is refused for others.
   */
  tls: z.enum(["server", "client", "target"]).optional(),
  /** Challenges of a certificate authority at `/.well-known/acme-challenge/` go to the client, which gets its certificate itself. */
  acme: z.boolean().optional(),
  /** Plain HTTP is answered by a redirect to HTTPS. */
  redirect: z.boolean().optional(),
  /** What is amiss although the rule is open, such as a certificate that cannot be had; the server reports it on. */
  warning: z.object({ code: z.string().max(16), message: z.string().max(1024) }).optional(),
  /** Until when the certificate is good with which the client ends TLS (ISO 8601); absent while it has none. The server reports it on. */
  notAfter: z.iso.datetime().optional(),
  options: httpOptionsSchema.optional(),
  /** Sent to the target as Host in place of the visitor's. */
  hostHeader: z.string().min(1).max(255).optional(),
  /** Grows when the rule leads elsewhere although all else is the same: another handler, other demands on a certificate. */
  generation: z.int().nonnegative().optional(),
});

/** An allocated port of the server. */
const tcpRuleSchema = z.object({
  kind: z.literal("tcp"),
  transport: z.literal("tcp").default("tcp"),
  /** Port of the target, by which programs that know the tunnel's name find the rule through the mesh. */
  targetPort: z.int().min(1).max(65_535).optional(),
  port: z.int().min(1).max(65_535),
  ...common,
});

/** A traffic rule as it crosses the wire. */
export const ruleSchema = z.discriminatedUnion("kind", [httpRuleSchema, tcpRuleSchema]);

export type FirewallRule = z.infer<typeof firewallRuleSchema>;
export type HttpRule = z.infer<typeof httpRuleSchema>;
export type TcpRule = z.infer<typeof tcpRuleSchema>;
export type Rule = HttpRule | TcpRule;

/** What names a rule within its tunnel: `http/blog.example.com`, `tcp/22197`. There is one rule per domain and per port. */
export function ruleId(rule: Pick<HttpRule, "kind" | "domain"> | Pick<TcpRule, "kind" | "port">): string {
  return rule.kind === "http" ? `http/${rule.domain}` : `tcp/${rule.port}`;
}
