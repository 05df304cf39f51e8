import type { CommandContext } from "../command_context.ts";
import { loadConfig } from "../config_file.ts";
import { MASK } from "../redact.ts";
import { clientConfigSchema, type ProxiesEntry, type ProxyEntry } from "./config.ts";
import { findConfig } from "./config_path.ts";
import { renderProxies } from "./render_doors.ts";

/** `pktriot proxies ls`. */
export async function proxiesLs(context: CommandContext, options: { json?: boolean }): Promise<void> {
  const { value: { proxies } } = await loadConfig(await findConfig(context), clientConfigSchema);
  context.io.print(options.json === true ? JSON.stringify(jsonOfProxies(proxies), null, 2) : renderProxies(proxies));
}

/** Proxies for `--json`: without what passwords are checked against. */
export function jsonOfProxies({ socks, http }: ProxiesEntry): Record<string, unknown> {
  return {
    ...(socks === undefined ? {} : { socks: jsonOfProxy(socks) }),
    ...(http === undefined ? {} : { http: jsonOfProxy(http) }),
  };
}

function jsonOfProxy({ auth, ...entry }: ProxyEntry): Record<string, unknown> {
  if (auth === undefined) return entry;
  return { ...entry, auth: typeof auth === "object" ? { user: auth.user, hash: MASK } : auth };
}
