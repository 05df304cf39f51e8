import type { CommandContext } from "../command_context.ts";
import { editConfig } from "../config_edit.ts";
import { loadConfig } from "../config_file.ts";
import { describeError } from "../describe_error.ts";
import { assertFreePlace } from "./assert_free_place.ts";
import { clientConfigSchema, type ProxyEntry } from "./config.ts";
import { findConfig } from "./config_path.ts";
import { checkBind } from "./door_schema.ts";
import { type ProxyKind, putProxy } from "./edit_doors.ts";
import { isOurs } from "./is_ours.ts";
import { listenFault } from "./listen_fault.ts";
import { proxyAuthOf, type ProxyAuthOptions } from "./proxy_auth_options.ts";
import { PROXY_NAMES, proxyAddress } from "./render_doors.ts";
import { toProxy } from "./to_client_doors.ts";
import { usageOf } from "./usage_of.ts";

/** Flags of `proxies socks listen` and `proxies http listen`. */
export interface ProxiesListenOptions extends ProxyAuthOptions {
  bind?: string;
}

const SCHEMES = { socks: "socks5h", http: "http" } as const satisfies Record<ProxyKind, string>;

/** `pktriot proxies socks listen`, `proxies http listen`: a local proxy into the mesh, in place of the one of its kind. */
export async function proxiesListen(
  context: CommandContext,
  kind: ProxyKind,
  { port, ...options }: ProxiesListenOptions & { port: number },
): Promise<void> {
  const { io } = context;
  const { bind } = options;
  if (bind !== undefined) usageOf("--bind", () => checkBind(bind));
  const path = await findConfig(context);
  const { value: config } = await loadConfig(path, clientConfigSchema);
  const before = config.proxies[kind];
  const auth = await proxyAuthOf(context, options, { bind, before: before?.auth });
  const entry: ProxyEntry = { port, bind, auth };
  const door = toProxy(kind, entry);
  assertFreePlace(config, door);
  const isKept = before?.port === port && await isOurs(context, path, toProxy(kind, before));
  const fault = isKept ? undefined : await listenFault(door.listen);
  await editConfig(path, clientConfigSchema, (tree) => putProxy(tree, kind, entry));
  if (fault !== undefined) io.report(describeError(fault, { as: "warning" }));
  const done = before === undefined ? "Added" : "Replaced";
  io.print([
    `${done} ${PROXY_NAMES[kind]} proxy ${SCHEMES[kind]}://${proxyAddress(kind, entry)}`,
    "`pktriot start` listens there.",
  ]);
}
