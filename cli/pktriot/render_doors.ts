import { type DoorState, formatDoorAddress } from "../../client/doors/door.ts";
import { escapeText } from "../escape_text.ts";
import { renderTable } from "../table.ts";
import type { ClientConfig, PortMapEntry, ProxiesEntry, ProxyEntry } from "./config.ts";
import type { ProxyKind } from "./edit_doors.ts";
import { formatLocalEnd } from "./local_end.ts";
import { toProxy } from "./to_client_doors.ts";

const MAP_HEAD = ["Local Port", "Transport", "Host", "Destination Port"] as const;

/** How people call the kinds of proxies. */
export const PROXY_NAMES = { socks: "SOCKS5", http: "HTTP CONNECT" } as const satisfies Record<ProxyKind, string>;

/** Port maps as a table; what only some of them say has a column when one of them says it. */
export function renderPortMaps(entries: readonly PortMapEntry[]): string[] {
  const bound = entries.some(({ bind }) => bind !== undefined);
  const labelled = entries.some(({ label }) => label !== undefined);
  return renderTable(
    [...MAP_HEAD, ...(bound ? ["Bind"] : []), ...(labelled ? ["Label"] : [])],
    entries.map((entry) => [
      ...[formatLocalEnd(entry), entry.transport, entry.destination, entry.destinationPort],
      ...(bound ? [entry.bind ?? "--"] : []),
      ...(labelled ? [entry.label ?? "--"] : []),
    ]),
  );
}

/** Local proxies as a table. */
export function renderProxies(proxies: ProxiesEntry): string[] {
  const kinds = ["socks", "http"] as const;
  return renderTable(
    ["Proxy", "Address", "Password"],
    kinds.flatMap((kind) => {
      const entry = proxies[kind];
      return entry === undefined ? [] : [[PROXY_NAMES[kind], proxyAddress(kind, entry), whoMayUse(entry)]];
    }),
  );
}

/** Where a proxy listens. */
export function proxyAddress(kind: ProxyKind, entry: ProxyEntry): string {
  return formatDoorAddress(toProxy(kind, entry).listen);
}

function whoMayUse({ auth }: ProxyEntry): string {
  return typeof auth === "object" ? `of ${auth.user}` : "none";
}

/** The ways into the mesh, with headings; nothing for what there is none of. */
export function renderDoors({ ports, proxies }: Pick<ClientConfig, "ports" | "proxies">): string[] {
  const lines: string[] = [];
  if (ports.length > 0) lines.push("Port maps:", ...renderPortMaps(ports), "");
  if (Object.keys(proxies).length > 0) lines.push("Proxies:", ...renderProxies(proxies), "");
  return lines.slice(0, -1);
}

/** The doors that are not open, each with the reason. */
export function renderFailedDoors(states: readonly DoorState[]): string[] {
  return states.filter(({ state }) => state === "failed").map(({ id, message, code }) =>
    escapeText(`Not open: ${id}: ${message ?? "no reason was given"} (${code ?? "E6003"})`)
  );
}
