import { loadPin } from "../../server/authority.ts";
import { readGivenCertificate } from "../../server/certificates/given_certificate.ts";
import { listenersOf } from "../../server/default_listeners.ts";
import type { MeshOptions } from "../../server/mesh/access.ts";
import type { ServerOptions } from "../../server/options.ts";
import type { CommandContext } from "../command_context.ts";
import { escapeText } from "../escape_text.ts";
import { formatDuration } from "../parse_duration.ts";
import { formatHostPort } from "../parse_listen.ts";
import { type DeadEntry, findDeadEntries, renderDeadEntries } from "./check_allow_list.ts";
import { type CertificateFacts, checkCertificate } from "./check_certificate.ts";
import { type CertificateSources, checkCertificates, renderCertificates } from "./check_certificates.ts";
import { type ProxyFacts, proxyFacts, renderProxies } from "./check_proxies.ts";
import { type LoadedServerConfig, loadServerConfig } from "./config_path.ts";
import { openState, storeExists } from "./open_state.ts";
import { tokenState } from "./render_state.ts";
import { stateFolderOf, toServerOptions } from "./server_options.ts";
import { meshFacts } from "./watch_mesh.ts";

/** What the server would do; `--json` prints it as it is. */
export interface CheckState extends CertificateSources {
  config: string;
  domain: string;
  hostname: string;
  listeners: { http: string; tls: string; admin: string; tcp: string };
  /** The pin is what `pktriot configure --pin` takes; there is none before the server's own authority was made. */
  certificate: (CertificateFacts | { kind: "own authority" }) & { pin: string | null };
  /** Networks of balancers that speak PROXY protocol. */
  proxyProtocol: readonly string[];
  state: string;
  tokens: number;
  tunnels: number;
  domains: { resolvers: readonly string[]; withoutProof: readonly string[] };
  /** Hosts outside that are allowed, and lines of the policy; `off` without a mesh. */
  mesh: { allowed: number; policyLines: number; proxies: ProxyFacts; dead: readonly DeadEntry[] } | "off";
  trustedProxies: readonly string[];
  drainMs: number;
}

/** `spokes check`: writes nothing, opens no port. */
export async function check(context: CommandContext, { json }: { json?: boolean }): Promise<void> {
  const loaded = await loadServerConfig(context);
  const options = await toServerOptions(loaded);
  const given = options.tls?.certificate === undefined
    ? undefined
    : await readGivenCertificate(options.tls.certificate);
  const state: CheckState = {
    config: loaded.path,
    domain: options.domain,
    hostname: options.hostname ?? options.domain,
    listeners: listenersText(options),
    certificate: {
      ...(given === undefined
        ? { kind: "own authority" }
        : checkCertificate(given, { path: loaded.config.tls?.certificate ?? "", now: Date.now() })),
      pin: await loadPin(stateFolderOf(loaded)),
    },
    ...await checkCertificates(options, given, Date.now()),
    proxyProtocol: options.proxyProtocol?.from ?? [],
    state: stateFolderOf(loaded),
    ...await countState(loaded),
    domains: { resolvers: [], withoutProof: [], ...options.domains },
    mesh: meshOf(options.mesh ?? {}, await findDeadEntries(loaded.config)),
    trustedProxies: options.trustedProxies ?? [],
    drainMs: options.drainMs ?? 30_000,
  };
  context.io.print(json === true ? JSON.stringify(state, null, 2) : renderCheck(state));
}

/** The lines of `check`. */
function renderCheck(state: CheckState): string[] {
  const { listeners, certificate } = state;
  const lines = [
    `The configuration ${state.config} is valid. The server would:`,
    `  give tunnels names under ${state.domain}, as ${state.hostname}`,
    `  listen on ${listeners.http} for visitors over HTTP`,
    `  listen on ${listeners.tls} for tunnels (TLS)`,
    `  let tunnels allocate ${listeners.tcp}`,
    listeners.admin === "off" ? "  have no admin listener" : `  listen on ${listeners.admin} for health and metrics`,
    ...describeCertificate(certificate),
  ].map(escapeText);
  lines.push(...renderCertificates(state));
  const others = [
    ...state.proxyProtocol.length === 0 ? [] : [`  demand PROXY protocol from ${state.proxyProtocol.join(", ")}`],
    `  keep its state in ${state.state}: valid tokens: ${state.tokens}, tunnels: ${state.tunnels}`,
    `  look for the proofs of domains through ${state.domains.resolvers.join(", ") || "the system's resolver"}`,
    ...state.domains.withoutProof.length === 0
      ? []
      : [`  give names below ${state.domains.withoutProof.join(", ")} without proof`],
    ...describeMesh(state.mesh),
    `  believe X-Forwarded-For of ${state.trustedProxies.join(", ") || "nobody"}`,
    `  give running streams ${formatDuration(state.drainMs)} when it is stopped`,
  ];
  lines.push(...others.map(escapeText));
  if (state.tokens + state.tunnels === 0) {
    lines.push("Nobody can connect yet: there is no token and no tunnel. Run `spokes token create`.");
  }
  return lines;
}

function describeCertificate(certificate: CheckState["certificate"]): string[] {
  const pin = certificate.pin ?? "not yet made";
  if (certificate.kind === "own authority") return [`  use a certificate of its own authority, pin ${pin}`];
  return [
    `  use the certificate of ${certificate.names}, valid until ${certificate.validTo}`,
    `  show clients that ask by its internal name one of its own authority, pin ${pin}`,
  ];
}

function meshOf(mesh: MeshOptions | false, dead: readonly DeadEntry[]): CheckState["mesh"] {
  const { allowed, policyLines } = meshFacts(mesh);
  return mesh === false ? "off" : { allowed, policyLines, proxies: proxyFacts(mesh), dead };
}

function describeMesh(mesh: CheckState["mesh"]): string[] {
  if (mesh === "off") return ["  have no mesh"];
  const { allowed, policyLines, proxies, dead } = mesh;
  const outside = allowed === 0 ? "nothing outside" : `${allowed} ${allowed === 1 ? "host" : "hosts"} outside`;
  const policy = policyLines === 0 ? "no lines of its own" : `${policyLines} ${policyLines === 1 ? "line" : "lines"}`;
  return [
    `  let tunnels reach each other and ${outside} through the mesh, by a policy of ${policy}`,
    ...renderDeadEntries(dead),
    ...renderProxies(proxies),
  ];
}

function listenersText(options: ServerOptions): CheckState["listeners"] {
  const { http, tls, admin, tcp } = listenersOf(options);
  return {
    http: formatHostPort(http),
    tls: formatHostPort(tls),
    admin: admin === null ? "off" : formatHostPort(admin),
    tcp: `ports ${tcp.from}-${tcp.to} on ${tcp.bind}`,
  };
}

async function countState(loaded: LoadedServerConfig): Promise<{ tokens: number; tunnels: number }> {
  if (!await storeExists(loaded)) return { tokens: 0, tunnels: 0 };
  await using opened = await openState(loaded);
  const now = Date.now();
  const tokens = await opened.state.enrolmentTokens.list();
  return {
    tokens: tokens.filter((token) => tokenState(token, now) === "valid").length,
    tunnels: opened.state.tunnels.list().filter(({ parent }) => parent === undefined).length,
  };
}
