import { escapeText } from "../escape_text.ts";
import { renderTable } from "../table.ts";
import type { FirewallEntry, HttpEntry, TcpEntry } from "./config.ts";
import { targetColumns } from "./target_columns.ts";

const HTTP_HEAD = ["Domain", "Destination", "HTTP", "Secure", "TLS", "Document Root"] as const;
const TCP_HEAD = ["Port", "Destination", "Destination Port"] as const;

/** HTTP rules as the table of `info`, `start` and `ls`. */
export function renderHttpTable(entries: readonly HttpEntry[]): string[] {
  return renderTable(HTTP_HEAD, entries.map(httpRow));
}

/** The table of a client without rules: the default page at its own name. */
export function renderDefaultTable(hostname: string): string[] {
  return renderTable(HTTP_HEAD, [[hostname, "", 0, false, 0, "--"]]);
}

function httpRow(entry: HttpEntry): (string | number | boolean)[] {
  const { destination, port, documentRoot } = targetColumns(entry.target);
  // Neither TLS column can be set yet: there are no rules with TLS.
  return [entry.domain, destination, port, false, 0, documentRoot ?? "--"];
}

/** TCP rules and kept ports as the table of `info`, `start` and `ls`. */
export function renderTcpTable(entries: readonly TcpEntry[]): string[] {
  return renderTable(
    TCP_HEAD,
    entries.map(({ port, target }) => {
      if (target === undefined) return [port, "--", 0];
      const { destination, port: targetPort } = targetColumns(target);
      return [port, destination, targetPort];
    }),
  );
}

/** One rule's firewall as rows of {@link renderFirewallTable}. */
export interface FirewallRow {
  /** The domain or port. */
  rule: string | number;
  firewall: FirewallEntry | undefined;
}

/** Firewalls as a table: one line per network. */
export function renderFirewallTable(head: "Domain" | "Port", rows: readonly FirewallRow[]): string[] {
  return renderTable(
    [head, "Action", "Network"],
    rows.flatMap(({ rule, firewall }) => [
      ...(firewall?.allow ?? []).map((network) => [rule, "allow", network]),
      ...(firewall?.drop ?? []).map((network) => [rule, "drop", network]),
    ]),
  );
}

/** Everything a configuration publishes, with headings; nothing for what it has none of. */
export function renderRules(config: { http: readonly HttpEntry[]; tcp: readonly TcpEntry[] }): string[] {
  const { http, tcp } = config;
  const lines: string[] = [];
  if (http.length > 0) lines.push("HTTP rules:", ...renderHttpTable(http), "");
  if (tcp.length > 0) lines.push("TCP rules:", ...renderTcpTable(tcp), "");
  const httpFirewalls = http.filter(hasFirewall).map(({ domain, firewall }) => ({ rule: domain, firewall }));
  const tcpFirewalls = tcp.filter(hasFirewall).map(({ port, firewall }) => ({ rule: port, firewall }));
  if (httpFirewalls.length > 0) lines.push("HTTP firewall:", ...renderFirewallTable("Domain", httpFirewalls), "");
  if (tcpFirewalls.length > 0) lines.push("TCP firewall:", ...renderFirewallTable("Port", tcpFirewalls), "");
  return lines.slice(0, -1);
}

function hasFirewall({ firewall }: { firewall?: FirewallEntry | undefined }): boolean {
  return firewall !== undefined && firewall.allow.length + firewall.drop.length > 0;
}

/** A rule and where it leads, for one line of text. */
export function renderArrow(address: string, target: string): string {
  return `${escapeText(address)} -> ${escapeText(target)}`;
}
