import { isMap } from "yaml";
import type { ClientConfig, PortMapEntry, ProxyEntry } from "./config.ts";
import { append, put, remove, type Tree, withoutUndefined } from "./edit_tree.ts";

/** Which port map is meant: there is one for a local port, and one for a socket. */
export type MapKey = Pick<PortMapEntry, "port" | "unix">;

/** Kinds of local proxies, as the configuration names them. */
export type ProxyKind = "socks" | "http";

const MAP_KEYS = ["bind", "transport", "destination", "destinationPort", "label", "auth"] as const;
const PROXY_KEYS = ["port", "bind", "auth"] as const;

/** The place of a port map in its list, or -1. */
export function indexOfMap({ ports }: Pick<ClientConfig, "ports">, key: MapKey): number {
  return ports.findIndex(({ port, unix }) => port === key.port && unix === key.unix);
}

/** Adds a port map, or makes the one of its local end this one; the comments around it stay. */
export function putMap(tree: Tree, config: ClientConfig, entry: PortMapEntry): void {
  const index = indexOfMap(config, entry);
  if (index === -1) return append(tree, ["ports"], withoutUndefined(entry));
  for (const key of MAP_KEYS) put(tree, ["ports", index, key], entry[key]);
}

/** Takes a port map out, if it is there. */
export function removeMap(tree: Tree, config: ClientConfig, key: MapKey): boolean {
  const index = indexOfMap(config, key);
  return index !== -1 && tree.deleteIn(["ports", index]);
}

/** Makes the proxy of a kind this one. */
export function putProxy(tree: Tree, kind: ProxyKind, entry: ProxyEntry): void {
  if (!isMap(tree.get("proxies", true))) tree.set("proxies", tree.createNode({}));
  if (!isMap(tree.getIn(["proxies", kind], true))) return put(tree, ["proxies", kind], withoutUndefined(entry));
  for (const key of PROXY_KEYS) put(tree, ["proxies", kind, key], entry[key]);
}

/** Takes the proxy of a kind out, if it is there. */
export function removeProxy(tree: Tree, kind: ProxyKind): void {
  remove(tree, ["proxies", kind]);
}
