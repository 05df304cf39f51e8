import { z } from "zod";
import { acmeDirectory } from "../../net/acme/acme_directories.ts";
import { MAX_RULES } from "../../protocol/limits.ts";
import { parseTarget } from "../../client/target.ts";
import { checked } from "../checked_schema.ts";
import { listOf } from "../list_schema.ts";
import { parseHostPort } from "../parse_listen.ts";
import { portMapSchema, proxiesSchema } from "./door_schema.ts";
import { firewallSchema } from "./firewall_schema.ts";
import { httpSchema } from "./http_schema.ts";
import { serviceSchema } from "./service_schema.ts";

export type { PortMapEntry, ProxiesEntry, ProxyEntry } from "./door_schema.ts";
export type { FirewallEntry } from "./firewall_schema.ts";
export type { HttpEntry } from "./http_schema.ts";

/** Port maps of one configuration: each is a listener. */
const MAX_PORT_MAPS = 1_000;

const port = z.int().min(1).max(65_535);

const tcpSchema = z.strictObject({
  /** A port of the server that is allocated to this tunnel. */
  port,
  /** Without it the port is only kept. */
  target: checked(z.string(), parseTarget).optional(),
  /** Start every connection to the target with the visitor's address. */
  proxyProtocol: z.literal("v2").optional(),
  ...serviceSchema,
  firewall: firewallSchema.optional(),
});

/** How certificates are got for rules with `tls: letsencrypt`. */
const acmeSchema = z.strictObject({
  /** A word for an authority, or the URL of another one's directory. */
  directory: z.string().refine(
    (text) => acmeDirectory(text) !== undefined,
    "it is not letsencrypt, letsencrypt-staging or an https:// URL",
  ).optional(),
  /** Where the authority may write to. */
  email: z.string().max(254).refine(isEmail, "it is not an e-mail address").optional(),
  /** PEM file with the root certificate of the authority's own HTTPS, for a private one. */
  ca: z.string().min(1).max(4096).optional(),
});

/** `config.json` (or `.yaml`) of the client: who it is, what it publishes, and its ways into the mesh. */
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
  ports: listOf(portMapSchema, MAX_PORT_MAPS).superRefine(unique("port", "port map"))
    .superRefine(unique("unix", "port map")),
  proxies: proxiesSchema.nullish().transform((proxies): z.infer<typeof proxiesSchema> => proxies ?? {}),
  acme: acmeSchema.nullish().transform((acme) => acme ?? undefined).optional(),
});

export type ClientConfig = z.infer<typeof clientConfigSchema>;
export type TcpEntry = ClientConfig["tcp"][number];
export type AcmeEntry = NonNullable<ClientConfig["acme"]>;

/** Whether a person could be reached there, as far as the text tells. */
export function isEmail(text: string): boolean {
  return /^[^\s@<>"',;]+@[^\s@<>"',;]+\.[^\s@<>"',;]+$/.test(text);
}

function unique<K extends string>(key: K, what = "rule") {
  return (entries: readonly { readonly [P in K]?: unknown }[], context: z.core.$RefinementCtx): void => {
    const seen = new Set<unknown>();
    entries.forEach((entry, index) => {
      if (entry[key] === undefined) return;
      if (seen.has(entry[key])) {
        context.addIssue({
          code: "custom",
          path: [index, key],
          message: `there is a ${what} for "${entry[key]}" above`,
        });
      }
      seen.add(entry[key]);
    });
  };
}
