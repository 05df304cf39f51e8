import { z } from "zod";
import { parseResolver } from "../../server/dns.ts";
import type { MeshOptions } from "../../server/mesh/access.ts";
import { parseAllowEntry } from "../../server/mesh/allow_list.ts";
import { checkFrom, checkTo, compileLine } from "../../server/mesh/policy_line.ts";
import type { MeshProxyOptions, ProxyAddress } from "../../server/mesh/proxies/proxy_options.ts";
import { checked } from "../checked_schema.ts";
import { listenSchema } from "./listen_schema.ts";

/** Hosts and lines that one file may have: each stream is compared with them. */
const MAX_ENTRIES = 1_000;
/** Who and what in one line. */
const MAX_SELECTORS = 100;
/** The first that answers counts: more help nobody. */
const MAX_RESOLVERS = 8;

const lineSchema = z.strictObject({
  from: z.array(checked(z.string(), checkFrom)).min(1, "it names nobody").max(MAX_SELECTORS),
  to: z.array(checked(z.string(), checkTo)).min(1, "it names nothing").max(MAX_SELECTORS),
  action: z.enum(["allow", "deny"]),
}).superRefine((line, context) => {
  try {
    compileLine(line, 1);
  } catch (error) {
    context.addIssue({ code: "custom", message: error instanceof Error ? error.message : String(error) });
  }
});

/** `:1080` is every address. */
const proxySchema = listenSchema.transform(({ hostname, port }): ProxyAddress =>
  hostname === "" ? { port } : { hostname, port }
);

const switchSchema = z.union([z.boolean(), z.enum(["on", "off"])], { error: "it is neither on nor off" })
  .transform((value) => value === true || value === "on");

const sectionSchema = z.strictObject({
  enabled: z.boolean().optional(),
  allow: z.array(checked(z.string(), parseAllowEntry)).max(MAX_ENTRIES).nullish(),
  policy: z.array(lineSchema).max(MAX_ENTRIES).nullish(),
  resolvers: z.array(checked(z.string(), parseResolver)).max(MAX_RESOLVERS).nullish(),
  socks: z.strictObject({ listen: proxySchema.optional(), tls_listen: proxySchema.optional() }).nullish(),
  connect: switchSchema.optional(),
  connect_tls_listen: proxySchema.optional(),
}, {
  error: (issue) => issue.code === "invalid_type" ? "it is neither off nor has it keys of its own" : undefined,
});

/** `mesh:` of `spokes.yaml`, as the server takes it; `off` is a server without a mesh. */
export const meshSchema = z.preprocess(
  (value) => value === null ? {} : value === "off" || value === false ? { enabled: false } : value,
  sectionSchema.transform(({ enabled, allow, policy, resolvers, ...proxies }): MeshOptions | false =>
    enabled === false
      ? false
      : { allow: allow ?? [], policy: policy ?? [], resolvers: resolvers ?? [], ...proxiesOf(proxies) }
  ).optional(),
);

/** SOCKS without a port is what clients use inside. */
function proxiesOf(
  { socks, connect, connect_tls_listen: connectTlsListen }: Pick<
    z.output<typeof sectionSchema>,
    "socks" | "connect" | "connect_tls_listen"
  >,
): MeshProxyOptions {
  const { listen, tls_listen: tlsListen } = socks ?? {};
  const ports = { ...(listen === undefined ? {} : { listen }), ...(tlsListen === undefined ? {} : { tlsListen }) };
  return {
    ...(Object.keys(ports).length === 0 ? {} : { socks: ports }),
    ...(connect === true ? { connect } : {}),
    ...(connectTlsListen === undefined ? {} : { connectTlsListen }),
  };
}
