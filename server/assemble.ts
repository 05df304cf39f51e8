import { VERSION } from "../protocol/version.ts";
import type { Bound } from "../net/listen.ts";
import { CodedError } from "../protocol/errors.ts";
import type { Invite } from "../protocol/invite.ts";
import type { Welcome } from "../protocol/message.ts";
import { type AdminListener, listenAdmin } from "./admin.ts";
import { Authenticator } from "./authenticator.ts";
import { ServerCertificates } from "./certificates/server_certificates.ts";
import { createConnectionCounters } from "./connection_counters.ts";
import { HttpEdge } from "./edge/http_edge.ts";
import { identifier } from "./edge/identify.ts";
import { TcpEdge } from "./edge/tcp_edge.ts";
import { TlsEdge } from "./edge/tls_edge.ts";
import { invitationOf } from "./invitation.ts";
import { createMesh } from "./mesh/create_mesh.ts";
import { tunnelIdentity } from "./mesh/identity.ts";
import type { Mesh } from "./mesh/mesh.ts";
import { serveMeshStream } from "./mesh/mesh_stream.ts";
import { MeshProxies } from "./mesh/proxies/mesh_proxies.ts";
import { Services } from "./mesh/services.ts";
import { Metrics } from "./metrics.ts";
import { metricsText } from "./metrics_text.ts";
import { openDomainProofs } from "./open_domain_proofs.ts";
import type { ServerOptions } from "./options.ts";
import { addressOf } from "./public_address.ts";
import { repeat, soon } from "./repeat.ts";
import { Router } from "./router.ts";
import { SessionNotes } from "./session_notes.ts";
import { Sessions } from "./sessions.ts";
import { resolveSettings } from "./settings.ts";
import { openServerState, type ServerState } from "./state/server_state.ts";
import { SIGHTING_INTERVAL_MS } from "./state/sightings.ts";
import { answers, openStore } from "./store/open_store.ts";
import { TunnelEndpoint } from "./tunnel_endpoint.ts";

/** How often liveness is looked at: a fifth of the shortest time that depends on it. */
const SWEEP_MS = 1_000;

/** Everything a running server consists of, wired together. */
export interface ServerParts {
  state: ServerState;
  sessions: Sessions;
  mesh: Mesh;
  proxies: MeshProxies;
  endpoint: TunnelEndpoint;
  httpEdge: HttpEdge;
  tlsEdge: TlsEdge;
  tcpEdge: TcpEdge;
  http: Bound;
  tls: Bound;
  admin: AdminListener | null;
  /** What every invite says. */
  invitation: Omit<Invite, "token">;
  /** From now on the server is not ready. */
  drain: () => void;
}

/** The composition root: builds the parts, opens the listeners, and leaves what must be undone on the stack. */
export async function assemble(options: ServerOptions, stack: AsyncDisposableStack): Promise<ServerParts> {
  const settings = resolveSettings(options);
  const { domain, hostname, limits, log, trustedProxies } = settings;
  const metrics = new Metrics();
  const { visitors, undecided, unauthenticated } = createConnectionCounters(settings);
  const identify = identifier(options.proxyProtocol?.from ?? []);
  const { lingerMs, temporaryTunnelMs } = limits;

  // What is kept: state and certificates.
  const tcpEdge = new TcpEdge({ bind: settings.tcp.bind, visitors, identify, lingerMs, metrics, log });
  const store = stack.use(await openStore(options.stateDir, log));
  const state = stack.use(
    await openServerState(store, {
      ...{ domain, hostname, ports: settings.tcp, log, temporaryTunnelMs, withoutProof: settings.withoutProof },
      probe: (port) => tcpEdge.probe(port),
    }),
  );
  const certificates = stack.use(
    await ServerCertificates.open({
      ...{ domain, hostname, log, stateDir: options.stateDir, acme: options.acme },
      ...{ given: options.tls?.certificate, folder: options.certificatesDir, resolvers: options.domains?.resolvers },
    }),
  );

  // Visitors over plain HTTP. The owner of a name that has no rule is either away, or has taken the rule out.
  const router: Router = new Router((host) => {
    const owner = state.names.ownerOf(host);
    return owner !== undefined && sessions.serving(owner) === undefined;
  });
  const about: Welcome["server"] = { hostname, version: VERSION, domain, httpPort: 0, tlsPort: 0 };
  // deno-lint-ignore prefer-const -- The edge listens before there is a mesh.
  let proxies: MeshProxies | undefined;
  const httpEdge = new HttpEdge({
    ...{ router, visitors, identify, trustedProxies, limits, metrics, log },
    takeConnect: (visitor, asked) => proxies?.takeConnect(visitor, asked),
    challenges: certificates.challenges,
    manages: (name) => certificates.manages(name),
    isReady: (name) => certificates.isReady(name),
    tlsPort: () => about.tlsPort,
  });
  const http = stack.use(await httpEdge.listen(settings.http));
  about.httpPort = options.http?.publicPort ?? http.address.port;

  // Tunnels: their sessions, and what those publish.
  const services = new Services();
  const notes = new SessionNotes({ state, metrics, log });
  const sessions: Sessions = new Sessions({
    ...{ limits, log },
    publishing: {
      ...{ state, router, services, certificates, ports: tcpEdge, log, addressOf: addressOf(about, certificates) },
      onTlsRules: soon(() => certificates.setCustomDomains(domainsToServe(router, certificates))),
    },
    exists: (id) => state.tunnels.exists(id),
    onConnect: (stream, open, { tunnel, from }) =>
      serveMeshStream(stream, open, { identity: tunnelIdentity(tunnel, from), mesh, log, lingerMs, metrics }),
    onJoin: (session) => notes.joined(session),
    onEnd: (session, error) => notes.ended(session, error, sessions.isLive(session.tunnel.id)),
  });
  certificates.onChange = () => void sessions.retryRefused();
  stack.use(state.serviceNames.watchLost((name, owner) => void sessions.refreshService(name, owner)));
  services.onRenamed = soon(() => mesh.recheck());
  const proofs = openDomainProofs(options, { state, sessions, hostname, log }, stack);
  const authenticator = new Authenticator({ state, metrics, log });
  const endpoint = new TunnelEndpoint({
    ...{ state, sessions, proofs, authenticator, limits, log, about },
    mesh: {
      services: (identity) => mesh.services(identity),
      check: (identity, destination) => mesh.check(identity, destination),
    },
  });
  const tlsEdge = new TlsEdge({
    ...{ hostname, router, certificates, visitors, undecided, unauthenticated, identify, limits, metrics, log },
    isSealed: (name) => state.sealedNames.has(name),
    toEndpoint: (connection) => endpoint.take(connection),
    toHttp: (connection) => httpEdge.takeSecure(connection),
    toHttpFromMesh: (visit, serverName) => httpEdge.serveMesh(visit, serverName),
  });
  const tls = stack.use(await tlsEdge.listen(settings.tls));
  about.tlsPort = options.tls?.publicPort ?? tls.address.port;

  let draining = false;
  const admin = settings.admin === null ? null : listenAdmin(settings.admin, {
    ready: async () => {
      if (draining) return { ready: false, reason: "draining" };
      return await answers(store) ? { ready: true } : { ready: false, reason: "the state cannot be read" };
    },
    metrics: () =>
      metricsText({
        ...{ metrics, sessions, mesh, version: VERSION },
        visitors: () => ({
          http: httpEdge.visits.count,
          tls: tlsEdge.visits.count,
          tcp: tcpEdge.visits.count,
          proxies: proxies?.visits.count ?? 0,
        }),
      }),
    log,
  });
  if (admin !== null) stack.defer(() => admin.close());

  // The mesh, which must know every place where the server itself listens.
  const mesh: Mesh = createMesh(options, {
    ...{ services, router, limits, log, edges: { http: httpEdge, tls: tlsEdge }, names: [hostname] },
    ports: () => [
      ...[about.httpPort, about.tlsPort, http.address.port, tls.address.port, admin?.address.port ?? 0],
      ...Object.values(proxies?.addresses ?? {}).map(({ port }) => port),
      settings.tcp,
    ],
  }, stack);
  proxies = stack.use(
    new MeshProxies({
      ...{
        mesh,
        authenticator,
        tunnels: state.tunnels,
        certificates,
        hostname,
        visitors,
        identify,
        limits,
        metrics,
        log,
      },
    }),
  );
  await proxies.listen(options.mesh || {});

  stack.use(state.tunnels.watch((change) => {
    if (change.kind === "changed") {
      sessions.updateTunnel(change.tunnel);
      return mesh.updateTunnel(change.tunnel);
    }
    mesh.endTunnel(change.id, new CodedError("REVOKED"));
    void sessions.endTunnel(change.id, new CodedError("REVOKED"));
  }));
  repeat(stack, SWEEP_MS, () => sessions.sweep(performance.now()));
  repeat(stack, SIGHTING_INTERVAL_MS, () => void notes.tidy(sessions));
  await certificates.start();
  return {
    ...{ state, sessions, mesh, proxies, endpoint, httpEdge, tlsEdge, tcpEdge, http, tls, admin },
    invitation: invitationOf(options, { hostname, tlsPort: about.tlsPort, pin: certificates.pin }),
    drain: () => draining = true,
  };
}

/** Names of rules whose TLS the server ends; visitors of a tunnel that is away are told so over HTTPS too. */
function domainsToServe(router: Router, certificates: ServerCertificates): string[] {
  const away = certificates.customDomains.filter((name) => router.route(name).kind === "offline");
  return [...router.domains(({ rule }) => rule.kind === "http" && rule.tls === "server"), ...away];
}
