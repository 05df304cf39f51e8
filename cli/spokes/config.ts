import { z } from "zod";
import { acmeDirectory } from "../../net/acme/acme_directories.ts";
import { isHostName } from "../../protocol/host_name.ts";
import { checked } from "../checked_schema.ts";
import { parseDuration } from "../parse_duration.ts";
import { parseHostPort } from "../parse_listen.ts";
import { canonicalNetwork } from "../../net/address.ts";
import { parsePortRange, type PortRange } from "../parse_port_range.ts";
import { parseResolver } from "../../server/dns.ts";
import { limitsSchema, NOT_A_TIME } from "./limits_schema.ts";
import { listenerClash } from "./listener_clash.ts";
import { listenSchema } from "./listen_schema.ts";
import { meshSchema } from "./mesh_schema.ts";

const NOT_A_RANGE = "it is not a range of ports such as 22000-22999";

/** All are asked for each record: more help nobody. */
const MAX_RESOLVERS = 8;

const hostName = z.string().refine(isHostName, "it is not a host name in lower case, such as example.com");
const port = z.int().min(1).max(65_535);

/** `30s`, `24h`, as milliseconds. */
const durationSchema = z.string({ error: NOT_A_TIME }).transform((text, context): number => {
  const ms = parseDuration(text);
  if (ms === undefined) {
    context.addIssue({ code: "custom", message: NOT_A_TIME });
  }
  return ms ?? 0;
});

const rangeSchema = z.string({ error: NOT_A_RANGE }).transform((text, context): PortRange => {
  const range = parsePortRange(text);
  if (range === undefined) {
    context.addIssue({ code: "custom", message: NOT_A_RANGE });
  }
  return range ?? { from: 0, to: 0 };
});

const addressSchema = z.string().refine((text) => {
  const place = parseHostPort(text);
  return place !== undefined && place.hostname !== "" && place.port !== 0;
}, "it is not host:port");

const networks = z.array(checked(z.string(), canonicalNetwork)).max(1_000);

/** A secret among them: no message may repeat a value. */
const eabSchema = z.strictObject({
  key_id: z.string().min(1).max(1_024),
  hmac_key: z.string().regex(/^[A-Za-z0-9_-]{16,1024}={0,2}$/, "it is not a key in base64url"),
});

/** `on` and `off` as the other switches, or who is to be asked. */
const dnsCheckSchema = z.preprocess(
  (value) => value === "on" || value === true ? undefined : value === "off" ? false : value,
  z.union([
    z.literal(false),
    z.array(checked(z.string(), parseResolver)).min(1, "it names no server").max(MAX_RESOLVERS),
  ], {
    error: (issue) => Array.isArray(issue.input) ? undefined : "it is neither on nor off nor a list of name servers",
  }).optional(),
);

const acmeSchema = z.strictObject({
  directory: z.string().refine(
    (text) => acmeDirectory(text) !== undefined,
    "it is neither letsencrypt nor letsencrypt-staging nor an https:// URL",
  ).optional(),
  email: z.string().max(254).regex(/^[^\s@<>"',;]+@[^\s@<>"',;]+\.[^\s@<>"',;]+$/, "it is not an e-mail address")
    .optional(),
  ca: z.string().min(1).optional(),
  eab: section(eabSchema),
  dns_hook: z.string().min(1).optional(),
  dns_check: dnsCheckSchema,
}, {
  error: (issue) => issue.code === "invalid_type" ? "it is neither off nor has it keys of its own" : undefined,
}).refine(
  (acme) => acme.dns_check === undefined || acme.dns_hook !== undefined,
  { error: "it is about what dns_hook has set, and there is none", path: ["dns_check"] },
);

/** `acme:` with nothing below is on, with its defaults: whoever wrote it wants certificates. */
const acmeSectionSchema = z.preprocess(
  (value) => value === null ? {} : value === "off" || value === false ? undefined : value,
  acmeSchema.optional(),
);

const fileSchema = z.strictObject({
  domain: hostName,
  hostname: hostName.optional(),
  address: addressSchema.optional(),
  state: z.string().min(1).optional(),
  http: section(z.strictObject({ listen: listenSchema.optional(), public_port: port.optional() })),
  tls: section(
    z.strictObject({
      listen: listenSchema.optional(),
      public_port: port.optional(),
      certificate: z.string().min(1).optional(),
      key: z.string().min(1).optional(),
    }).refine(
      (tls) => (tls.certificate === undefined) === (tls.key === undefined),
      "certificate and key belong together",
    ),
  ),
  tcp: section(z.strictObject({ bind: z.string().min(1).optional(), ports: rangeSchema.optional() })),
  admin: z.union([z.literal("off"), z.literal(false), z.strictObject({ listen: listenSchema })], {
    error: "it is neither off nor has it a listen address",
  }).optional(),
  certificates: z.string().min(1).optional(),
  acme: acmeSectionSchema,
  proxy_protocol: section(z.strictObject({ from: networks.min(1, "it names no balancer") })),
  domains: section(z.strictObject({
    resolvers: section(z.array(checked(z.string(), parseResolver)).max(MAX_RESOLVERS)),
    without_proof: section(z.array(hostName).max(1_000)),
  })),
  mesh: meshSchema,
  trusted_proxies: section(networks),
  drain: durationSchema.optional(),
  limits: section(limitsSchema),
  log: section(z.strictObject({
    level: z.enum(["debug", "info", "warn", "error"]).optional(),
    format: z.enum(["text", "json"]).optional(),
  })),
});

export type ServerConfig = z.output<typeof fileSchema>;

/** `spokes.yaml`: everything but `domain` may be left out. */
export const serverConfigSchema = fileSchema.superRefine((config, context) => {
  const clash = listenerClash(config);
  if (clash !== undefined) context.addIssue({ code: "custom", path: [...clash.path], message: clash.message });
});

/** A part of the file that may be left out, or left empty, as a file is whose keys are all comments. */
function section<T extends z.ZodType>(schema: T) {
  return schema.nullish().transform((value) => value ?? undefined);
}
