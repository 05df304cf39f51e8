import { isMap, isSeq } from "yaml";
import type { ClientConfig, FirewallEntry, HttpEntry, TcpEntry } from "./config.ts";
import { append, put, remove, type Tree, type TreePath, withoutUndefined } from "./edit_tree.ts";
import type { UserEntry } from "./http_schema.ts";

/** What `route http add` decides anew each time; the firewall is not among it. */
const HTTP_KEYS = [
  ...["target", "tls", "redirect", "hostHeader", "insecureUpstream", "redirectTo", "stripPrefix", "addPrefix"],
  ...["requestHeaders", "responseHeaders", "maxBody", "proxyProtocol", "service", "private"],
] as readonly Exclude<keyof HttpEntry, "domain" | "firewall" | "basicAuth">[];

/** Adds an HTTP rule, or makes the one of its domain this one; its firewall and the comments around it stay. */
export function putHttp(tree: Tree, config: ClientConfig, entry: Omit<HttpEntry, "firewall">): "added" | "updated" {
  const index = config.http.findIndex(({ domain }) => domain === entry.domain);
  if (index === -1) {
    append(tree, ["http"], withoutUndefined(entry));
    return "added";
  }
  for (const key of HTTP_KEYS) put(tree, ["http", index, key], entry[key]);
  putUsers(tree, ["http", index, "basicAuth"], entry.basicAuth);
  return "updated";
}

/** Adds a port, or gives it a new target; without one an existing entry stays as it is. */
export function putTcp(tree: Tree, config: ClientConfig, entry: Omit<TcpEntry, "firewall">): "added" | "updated" {
  const index = config.tcp.findIndex(({ port }) => port === entry.port);
  if (index === -1) {
    append(tree, ["tcp"], withoutUndefined(entry));
    return "added";
  }
  if (entry.target === undefined) return "updated";
  put(tree, ["tcp", index, "target"], entry.target);
  for (const key of ["proxyProtocol", "service", "private"] as const) put(tree, ["tcp", index, key], entry[key]);
  return "updated";
}

/** Notes where a certificate authority may write to. */
export function putAcmeEmail(tree: Tree, email: string): void {
  if (!isMap(tree.get("acme", true))) tree.set("acme", tree.createNode({}));
  put(tree, ["acme", "email"], email);
}

/** Brings the users of a rule to `wanted`, one by one, so that comments beside the others stay. */
function putUsers(tree: Tree, path: TreePath, wanted: readonly UserEntry[] | undefined): void {
  const list: unknown = tree.getIn(path, true);
  if (wanted === undefined || !isSeq(list) || list.items.length === 0) return put(tree, path, wanted);
  const present = (list.toJSON() as UserEntry[]).map(({ user }) => user);
  for (const { user, hash } of wanted) {
    const index = present.indexOf(user);
    if (index === -1) append(tree, path, { user, hash });
    else put(tree, [...path, index, "hash"], hash);
  }
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
