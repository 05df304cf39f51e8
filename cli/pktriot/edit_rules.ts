import { type Document, isMap, isSeq } from "yaml";
import type { ClientConfig, FirewallEntry, HttpEntry, TcpEntry } from "./config.ts";

type Tree = Document.Parsed;

/** Adds an HTTP rule, or gives the one of its domain a new target; its firewall and the comments around it stay. */
export function putHttp(tree: Tree, config: ClientConfig, entry: Omit<HttpEntry, "firewall">): "added" | "updated" {
  const index = config.http.findIndex(({ domain }) => domain === entry.domain);
  if (index === -1) {
    append(tree, ["http"], withoutUndefined(entry));
    return "added";
  }
  for (const key of ["target", "hostHeader", "insecureUpstream"] as const) {
    if (entry[key] === undefined) remove(tree, ["http", index, key]);
    else tree.setIn(["http", index, key], entry[key]);
  }
  return "updated";
}

/** Adds a port, or gives it a new target; without one an existing entry stays as it is. */
export function putTcp(tree: Tree, config: ClientConfig, entry: Omit<TcpEntry, "firewall">): "added" | "updated" {
  const index = config.tcp.findIndex(({ port }) => port === entry.port);
  if (index === -1) {
    append(tree, ["tcp"], withoutUndefined(entry));
    return "added";
  }
  if (entry.target !== undefined) tree.setIn(["tcp", index, "target"], entry.target);
  return "updated";
}

/** Which rule of a configuration is meant. */
export type RuleKey = { kind: "http"; domain: string } | { kind: "tcp"; port: number };

/** The place of a rule in its list, or -1. */
export function indexOfRule(config: ClientConfig, key: RuleKey): number {
  return key.kind === "http"
    ? config.http.findIndex(({ domain }) => domain === key.domain)
    : config.tcp.findIndex(({ port }) => port === key.port);
}

/** Takes a rule out, if it is there. */
export function removeRule(tree: Tree, config: ClientConfig, key: RuleKey): boolean {
  const index = indexOfRule(config, key);
  return index !== -1 && tree.deleteIn([key.kind, index]);
}

/** Brings the firewall of a rule to `wanted`, entry by entry, so that comments beside the others stay. */
export function putFirewall(tree: Tree, rule: readonly [RuleKey["kind"], number], wanted: FirewallEntry): void {
  const firewall = [...rule, "firewall"];
  if (!isMap(tree.getIn(firewall, true))) tree.setIn(firewall, tree.createNode({}));
  for (const action of ["allow", "drop"] as const) {
    const path = [...firewall, action];
    const list: unknown = tree.getIn(path, true);
    const present = isSeq(list) ? (list.toJSON() as string[]) : [];
    for (let index = present.length - 1; index >= 0; index--) {
      if (!wanted[action].includes(present[index] as string)) tree.deleteIn([...path, index]);
    }
    for (const network of wanted[action]) if (!present.includes(network)) append(tree, path, network);
    if (wanted[action].length === 0) remove(tree, path);
  }
  if (wanted.allow.length + wanted.drop.length === 0) remove(tree, firewall);
}

function append(tree: Tree, path: readonly (string | number)[], value: unknown): void {
  const list: unknown = tree.getIn(path, true);
  if (isSeq(list) && list.items.length > 0) tree.addIn(path, tree.createNode(value));
  else tree.setIn(path, tree.createNode([value]));
}

/** The library throws for a path whose parent is not there. */
function remove(tree: Tree, path: readonly (string | number)[]): void {
  if (tree.hasIn(path)) tree.deleteIn(path);
}

function withoutUndefined(entry: object): Record<string, unknown> {
  return Object.fromEntries(Object.entries(entry).filter(([, value]) => value !== undefined));
}
