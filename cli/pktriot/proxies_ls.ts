import type { CommandContext } from "../command_context.ts";
import { loadConfig } from "../config_file.ts";
import { MASK } from "../redact.ts";
import { clientConfigSchema, type ProxiesEntry, type ProxyEntry } from "./config.ts";
import { findConfig } from "./config_path.ts";
import { readDoorStates } from "./door_status.ts";
import type { ProxyKind } from "./edit_doors.ts";
import { type DoorStates, jsonOfDoorState, renderFailedOf, renderProxies } from "./render_doors.ts";
import { toClientDoors, toProxy } from "./to_client_doors.ts";

/** `pktriot proxies ls`. */
export async function proxiesLs(context: CommandContext, options: { json?: boolean }): Promise<void> {
  const path = await findConfig(context);
  const { value: { proxies } } = await loadConfig(path, clientConfigSchema);
  const states = await readDoorStates(context, path);
  context.io.print(
    options.json === true
      ? JSON.stringify(jsonOfProxies(proxies, states), null, 2)
      : [...renderProxies(proxies, states), ...renderFailedOf(toClientDoors({ ports: [], proxies }), states)],
  );
}

/** Proxies for `--json`: without what passwords are checked against, and with what became of each if that is known. */
export function jsonOfProxies({ socks, http }: ProxiesEntry, states: DoorStates): Record<string, unknown> {
  return {
    ...(socks === undefined ? {} : { socks: jsonOfProxy("socks", socks, states) }),
    ...(http === undefined ? {} : { http: jsonOfProxy("http", http, states) }),
  };
}

function jsonOfProxy(kind: ProxyKind, entry: ProxyEntry, states: DoorStates): Record<string, unknown> {
  const { auth, ...place } = entry;
  const shown = typeof auth === "object" ? { user: auth.user, hash: MASK } : auth;
  return {
    ...place,
    ...(shown === undefined ? {} : { auth: shown }),
    ...jsonOfDoorState(toProxy(kind, entry), states),
  };
}
