import type { RuleState } from "../../protocol/message.ts";
import { escapeText } from "../escape_text.ts";
import { formatHostPort } from "../parse_listen.ts";
import { renderTable } from "../table.ts";
import type { FirewallEntry, HttpEntry, TcpEntry } from "./config.ts";
import { redirectUrl, type TargetColumns, targetColumns } from "./target_columns.ts";

const HTTP_HEAD = ["Domain", "Destination", "HTTP", "Secure", "TLS", "Document Root"] as const;
const TCP_HEAD = ["Port", "Destination", "Destination Port"] as const;

/** What the server says of rules, by their id; empty when it was not asked. */
type States = ReadonlyMap<string, RuleState>;

/** The server ends the TLS of a rule that says nothing about it only with a certificate. */
const NO_HTTPS = "visitors are redirected to HTTPS, for which the server has no certificate: " +
  "use --letsencrypt, --ca, --tls or --tls-at, or add it without --redirect";

const NO_STATES: States = new Map();

/** HTTP rules as the table of `info`, `start` and `ls`. */
export function renderHttpTable(entries: readonly HttpEntry[], states: States = NO_STATES): string[] {
  return renderTable(
    withService(HTTP_HEAD, entries, () => "Service"),
    entries.map((entry) => withService(httpRow(entry, states.get(entryId(entry))), entries, () => serviceText(entry))),
  );
}

/** The table of a client without rules: the default page at its own name. */
export function renderDefaultTable(hostname: string, states: States = NO_STATES): string[] {
  return renderTable(HTTP_HEAD, [[hostname, "", 0, isSecure(undefined, states.get(`http/${hostname}`)), 0, "--"]]);
}

function httpRow(entry: HttpEntry, state: RuleState | undefined): (string | number | boolean)[] {
  const { domain, tls } = entry;
  const passedOn = typeof tls === "object" && "target" in tls ? targetColumns(tls.target) : undefined;
  const { destination, port, documentRoot } = plainColumns(entry, passedOn?.destination);
  // Another host than that of the row is told.
  const tlsColumn = passedOn === undefined || passedOn.destination === destination
    ? passedOn?.port ?? 0
    : formatHostPort({ hostname: passedOn.destination, port: passedOn.port });
  return [domain, destination, port, isSecure(tls, state), tlsColumn, documentRoot ?? "--"];
}

/** Where plain HTTP leads; a rule that has nothing for it shows where TLS does. */
function plainColumns({ target, redirectTo }: HttpEntry, passedOn = ""): TargetColumns {
  if (redirectTo !== undefined) return { destination: `redirect to ${redirectUrl(redirectTo)}`, port: 0 };
  return target === undefined ? { destination: passedOn, port: 0 } : targetColumns(target);
}

/** Whether HTTPS of a rule works now, as far as the server says: it is asked for the rule and has, or somebody behind it has, a certificate. */
function isSecure(tls: HttpEntry["tls"], state: RuleState | undefined): boolean {
  if (state?.state !== "active" || state.address?.startsWith("https://") !== true) return false;
  // With a certificate that has expired too, visitors get no further than a warning.
  if (endsInClient(tls)) return state.notAfter !== undefined && Date.parse(state.notAfter) > Date.now();
  // What the target has is the target's; the server says what it has no certificate for.
  return typeof tls === "object" || state.code === undefined;
}

function endsInClient(tls: HttpEntry["tls"]): boolean {
  return tls === "letsencrypt" || (typeof tls === "object" && "certificate" in tls);
}

/** What names a rule of the configuration, at the server too. */
export function entryId(entry: Pick<HttpEntry, "domain"> | Pick<TcpEntry, "port">): string {
  return "domain" in entry ? `http/${entry.domain}` : `tcp/${entry.port}`;
}

/** The rules that nobody can reach, each with the reason. */
export function renderInactive(states: Iterable<RuleState>): string[] {
  return [...states].filter(({ state }) => state === "inactive").map(({ id, message, code }) =>
    escapeText(`Inactive: ${id}: ${message ?? "no reason was given"} (${code ?? "E3013"})`)
  );
}

/** What is amiss with rules that visitors can reach all the same. */
export function renderWarnings(states: Iterable<RuleState>, http: readonly HttpEntry[] = []): string[] {
  const redirected = new Set(http.filter(({ redirect }) => redirect === true).map(entryId));
  return [...states].filter(({ state }) => state === "active").flatMap(({ id, message, code, address }) => {
    const reason = message ?? (redirected.has(id) && address?.startsWith("http://") ? NO_HTTPS : undefined);
    return reason === undefined
      ? []
      : [escapeText(`Warning: ${id}: ${reason}${code === undefined ? "" : ` (${code})`}`)];
  });
}

/** What is unwise about a rule whatever its state: it would work all the same. */
export function renderPlainPassword({ domain, basicAuth, redirect, private: isPrivate }: HttpEntry): string[] {
  if (basicAuth === undefined || redirect === true || isPrivate === true) return [];
  return [`Warning: http/${domain}: passwords travel in clear over http://; add --redirect to lead visitors to HTTPS`];
}

/** TCP rules and kept ports as the table of `info`, `start` and `ls`. */
export function renderTcpTable(entries: readonly TcpEntry[]): string[] {
  return renderTable(
    withService(TCP_HEAD, entries, () => "Service"),
    entries.map((entry) => withService(tcpRow(entry), entries, () => serviceText(entry))),
  );
}

function tcpRow({ port, target }: TcpEntry): (string | number)[] {
  if (target === undefined) return [port, "--", 0];
  const { destination, port: targetPort } = targetColumns(target);
  return [port, destination, targetPort];
}

type ServiceEntry = Pick<TcpEntry, "service" | "private">;

/** A row with the column for the mesh, which is there when any rule has something to say there. */
function withService<T>(row: readonly T[], entries: readonly ServiceEntry[], cell: () => T): T[] {
  return entries.some((entry) => serviceText(entry) !== "--") ? [...row, cell()] : [...row];
}

function serviceText({ service, private: isPrivate }: ServiceEntry): string {
  if (isPrivate === true) return service === undefined ? "private" : `${service}, private`;
  return service ?? "--";
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
export function renderRules(
  config: { http: readonly HttpEntry[]; tcp: readonly TcpEntry[] },
  states: States = NO_STATES,
): string[] {
  const { http, tcp } = config;
  const lines: string[] = [];
  if (http.length > 0) lines.push("HTTP rules:", ...renderHttpTable(http, states), "");
  if (tcp.length > 0) lines.push("TCP rules:", ...renderTcpTable(tcp), "");
  const amiss = [
    ...renderInactive(states.values()),
    ...renderWarnings(states.values(), http),
    ...http.flatMap(renderPlainPassword),
  ];
  if (amiss.length > 0) lines.push(...amiss, "");
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
