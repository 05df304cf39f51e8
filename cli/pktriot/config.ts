import { z } from "zod";
import { isHostName } from "../../protocol/host_name.ts";
import { MAX_NETWORKS_PER_RULE, MAX_RULES } from "../../protocol/limits.ts";
import { parseTarget } from "../../client/target.ts";
import { checked } from "../checked_schema.ts";
import { parseHostPort } from "../parse_listen.ts";
import { canonicalNetwork } from "../../net/address.ts";

const port = z.int().min(1).max(65_535);
const network = checked(z.string(), canonicalNetwork);
const target = checked(z.string(), parseTarget);
const networks = listOf(network, MAX_NETWORKS_PER_RULE);

/** Who may come: the most specific network decides, on equal ones drop wins; with any `allow`, all else is dropped. */
const firewallSchema = z.strictObject({ allow: networks, drop: networks }).nullish()
  .transform((firewall) => firewall ?? undefined);

const httpSchema = z.strictObject({
  domain: z.string().refine(isHostName, "it is not a domain name in lower case, such as blog.example.com"),
  target,
  hostHeader: z.string().min(1).max(255).optional(),
  insecureUpstream: z.boolean().optional(),
  firewall: firewallSchema.optional(),
});

const tcpSchema = z.strictObject({
  /** A port of the server that is allocated to this tunnel. */
  port,
  /** Without it the port is only kept. */
  target: target.optional(),
  firewall: firewallSchema.optional(),
});

/** `config.json` (or `.yaml`) of the client: who it is, and what it publishes. */
export const clientConfigSchema = z.strictObject({
  version: z.literal(1),
  server: z.strictObject({
    address: z.string().refine((text) => (parseHostPort(text)?.hostname ?? "") !== "", "it is not host:port"),
    sni: z.string().optional(),
    /** Certificate authority (PEM) of the server, trusted in addition to the public ones. */
    ca: z.string().optional(),
  }),
  tunnel: z.strictObject({
    id: z.string().min(1),
    /** The credential; whoever has it is this tunnel. */
    token: z.string().min(1),
    hostname: z.string().min(1),
    name: z.string(),
  }),
  http: listOf(httpSchema, MAX_RULES).superRefine(unique("domain")),
  tcp: listOf(tcpSchema, MAX_RULES).superRefine(unique("port")),
});

export type ClientConfig = z.infer<typeof clientConfigSchema>;
export type HttpEntry = ClientConfig["http"][number];
export type TcpEntry = ClientConfig["tcp"][number];
export type FirewallEntry = NonNullable<z.infer<typeof firewallSchema>>;

/** A list that may be left out, or left empty as a hand does it (`http:` with nothing below). */
function listOf<T extends z.ZodType>(item: T, max: number) {
  return z.array(item).max(max).nullish().transform((list) => list ?? []);
}

function unique<K extends string>(key: K) {
  return (entries: readonly Record<K, unknown>[], context: z.core.$RefinementCtx): void => {
    const seen = new Set<unknown>();
    entries.forEach((entry, index) => {
      if (seen.has(entry[key])) {
        context.addIssue({ code: "custom", path: [index, key], message: `there is a rule for "${entry[key]}" above` });
      }
      seen.add(entry[key]);
    });
  };
}
