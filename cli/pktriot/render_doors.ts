import { type Door, doorId, type DoorState, formatDoorAddress } from "../../client/doors/door.ts";
import { escapeText } from "../escape_text.ts";
import { renderTable } from "../table.ts";
import type { ClientConfig, PortMapEntry, ProxiesEntry, ProxyEntry } from "./config.ts";
import type { ProxyKind } from "./edit_doors.ts";
import { formatLocalEnd } from "./local_end.ts";
import { toPortMap, toProxy } from "./to_client_doors.ts";

const MAP_HEAD = ["Local Port", "Transport", "Host", "Destination Port"] as const;

/** How people call the kinds of proxies. */
export const PROXY_NAMES = { socks: "SOCKS5", http: "HTTP CONNECT" } as const satisfies Record<ProxyKind, string>;

/** What became of the doors, by their ids, where a `start` runs that tells it. */
export type DoorStates = ReadonlyMap<string, DoorState> | undefined;

/** Port maps as a table; what only some of them say has a column when one of them says it. */
export function renderPortMaps(entries: readonly PortMapEntry[], states?: DoorStates): string[] {
  const bound = entries.some(({ bind }) => bind !== undefined);
  const labelled = entries.some(({ label }) => label !== undefined);
  return renderTable(
    [...MAP_HEAD, ...(bound ? ["Bind"] : []), ...(labelled ? ["Label"] : []), ...stateHead(states)],
    entries.map((entry) => [
      ...[formatLocalEnd(entry), entry.transport, entry.destination, entry.destinationPort],
      ...(bound ? [entry.bind ?? "--"] : []),
      ...(labelled ? [entry.label ?? "--"] : []),
      ...stateCell(toPortMap(entry), states),
    ]),
  );
}

/** Local proxies as a table. */
export function renderProxies(proxies: ProxiesEntry, states?: DoorStates): string[] {
  const kinds = ["socks", "http"] as const;
  return renderTable(
    ["Proxy", "Address", "Password", ...stateHead(states)],
    kinds.flatMap((kind) => {
      const entry = proxies[kind];
      if (entry === undefined) return [];
      const state = stateCell(toProxy(kind, entry), states);
      return [[PROXY_NAMES[kind], proxyAddress(kind, entry), whoMayUse(entry), ...state]];
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

function stateHead(states: DoorStates): string[] {
  return states === undefined ? [] : ["State"];
}

/** An edit of a moment ago is not known yet. */
function stateCell(door: Door, states: DoorStates): string[] {
  if (states === undefined) return [];
  const state = states.get(doorId(door))?.state;
  return [state === undefined ? "--" : state === "open" ? "open" : "not open"];
}

/** What is told of a door in `--json`, if it is known. */
export function jsonOfDoorState(door: Door, states: DoorStates): Partial<Omit<DoorState, "id" | "address">> {
  const { id: _, address: __, ...facts } = states?.get(doorId(door)) ?? {};
  return facts;
}

/** The ways into the mesh, with headings; nothing for what there is none of. */
export function renderDoors(
  { ports, proxies }: Pick<ClientConfig, "ports" | "proxies">,
  states?: DoorStates,
): string[] {
  const lines: string[] = [];
  if (ports.length > 0) lines.push("Port maps:", ...renderPortMaps(ports, states), "");
  if (Object.keys(proxies).length > 0) lines.push("Proxies:", ...renderProxies(proxies, states), "");
  return lines.slice(0, -1);
}

/** Those of these doors that are not open, each with the reason. */
export function renderFailedOf(doors: readonly Door[], states: DoorStates): string[] {
  return renderFailedDoors(doors.flatMap((door) => states?.get(doorId(door)) ?? []));
}

/** The doors that are not open, each with the reason. */
export function renderFailedDoors(states: Iterable<DoorState>): string[] {
  return [...states].filter(({ state }) => state === "failed").map(({ id, message, code }) =>
    escapeText(`Not open: ${id}: ${message ?? "no reason was given"} (${code ?? "E6003"})`)
  );
}
