import { join } from "node:path";
import { addressMatcher, isLoopback, parseAddress } from "../net/address.ts";
import { type Bound, EVERY_ADDRESS } from "../net/listen.ts";
import { type Logger, SILENT } from "../net/log.ts";
import { CodedError, toCodedError } from "../protocol/errors.ts";
import { canonicalHost, isHostName } from "../protocol/host_name.ts";
import type { Invite } from "../protocol/invite.ts";
import type { Welcome } from "../protocol/message.ts";
import { VERSION } from "../protocol/version.ts";
import { type AdminListener, listenAdmin } from "./admin.ts";
import { Authenticator } from "./authenticator.ts";
import { ServerCertificates } from "./certificates/server_certificates.ts";
import { ConnectionCounter } from "./connection_counter.ts";
import { createDns } from "./dns.ts";
import { DomainLooks } from "./domain_looks.ts";
import { edgeHost } from "./domain_pointing.ts";
import { DomainProofs } from "./domain_proofs.ts";
import { HttpEdge } from "./edge/http_edge.ts";
import { identifier } from "./edge/identify.ts";
import { TcpEdge } from "./edge/tcp_edge.ts";
import { TlsEdge } from "./edge/tls_edge.ts";
import { DEFAULT_SERVER_LIMITS, type ServerLimits } from "./limits.ts";
import { createMesh } from "./mesh/create_mesh.ts";
import { tunnelIdentity } from "./mesh/identity.ts";
import type { Mesh } from "./mesh/mesh.ts";
import { serveMeshStream } from "./mesh/mesh_stream.ts";
import { MeshProxies } from "./mesh/proxies/mesh_proxies.ts";
import { Services } from "./mesh/services.ts";
import { Metrics } from "./metrics.ts";
import { metricsText } from "./metrics_text.ts";
import type { ServerOptions } from "./options.ts";
import { addressOf } from "./public_address.ts";
import { Router } from "./router.ts";
import { Sessions } from "./sessions.ts";
import { openServerState, type ServerState } from "./state/server_state.ts";
import { SIGHTING_INTERVAL_MS } from "./state/sightings.ts";
import { MemoryStore } from "./store/memory_store.ts";
import { openSqliteStore } from "./store/sqlite_store.ts";
import { prepareStateFolder, STORE_FILE } from "./store/state_folder.ts";
import type { Store } from "./store/store.ts";
import { TunnelEndpoint } from "./tunnel_endpoint.ts";

/** How often liveness is looked at: a fifth of the shortest time that depends on it. */
const SWEEP_MS = 1_000;
/** How often the server looks which records of domains are due: a sixth of the shortest time between two looks. */
const DOMAIN_LOOKS_MS = 10_000;

const DEFAULTS = {
  http: { hostname: EVERY_ADDRESS, port: 80 },
  tls: { hostname: EVERY_ADDRESS, port: 443 },
  tcp: { bind: EVERY_ADDRESS, from: 22_000, to: 22_999 },
  admin: { hostname: "127.0.0.1", port: 9_400 },
} as const;

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
  const log = options.logger ?? SILENT;
  const limits: ServerLimits = { ...DEFAULT_SERVER_LIMITS, ...options.limits };
  const domain = checkedName(options.domain, "domain");
  const hostname = options.hostname === undefined ? domain : checkedName(options.hostname, "hostname");
  const trustedProxies = addressMatcher(options.trustedProxies ?? []);
  const metrics = new Metrics();
  const isExempt = (address: string): boolean => isLoopback(address) || trustedProxies(address);
  const forVisitors = { perAddress: limits.visitorsPerAddress, total: limits.visitors, exempt: isExempt };
  const visitors = new ConnectionCounter(forVisitors);
  // Whoever they turn out to be, there may be room for them.
  const undecided = new ConnectionCounter({ ...forVisitors, total: limits.visitors + limits.unauthenticated });

  const tcp = { ...DEFAULTS.tcp, ...options.tcp };
  const identify = identifier(options.proxyProtocol?.from ?? []);
  const tcpEdge = new TcpEdge({ bind: tcp.bind, visitors, identify, lingerMs: limits.lingerMs, metrics, log });
  const store = stack.use(await openStore(options, log));
  const state = stack.use(
    await openServerState(store, {
      ...{ domain, hostname, ports: tcp, log, temporaryTunnelMs: limits.temporaryTunnelMs },
      withoutProof: (options.domains?.withoutProof ?? []).map((name) => checkedName(name, "domain without proof")),
      probe: (port) => tcpEdge.probe(port),
    }),
  );
  const certificates = stack.use(
    await ServerCertificates.open({
      ...{ domain, hostname, log, stateDir: options.stateDir, acme: options.acme },
      ...{ given: options.tls?.certificate, folder: options.certificatesDir, resolvers: options.domains?.resolvers },
    }),
  );

  // The owner of a name that has no rule is either away, or has taken the rule out.
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
    tlsPort: () => about.tlsPort,
  });
  const http = stack.use(await httpEdge.listen({ ...DEFAULTS.http, ...options.http }));
  about.httpPort = options.http?.publicPort ?? http.address.port;
  const services = new Services();
  const publishing = {
    ...{ state, router, services, certificates, ports: tcpEdge, log, addressOf: addressOf(about, certificates) },
    onTlsRules: soon(() => {
      // Visitors of a tunnel that is away are told so over HTTPS too.
      const away = certificates.customDomains.filter((name) => router.route(name).kind === "offline");
      const here = router.domains(({ rule }) => rule.kind === "http" && rule.tls === "server");
      certificates.setCustomDomains([...here, ...away]);
    }),
  };
  const sessions: Sessions = new Sessions({
    limits,
    log,
    publishing,
    exists: (id) => state.tunnels.exists(id),
    onConnect: (stream, open, { tunnel, from }) =>
      serveMeshStream(stream, open, {
        ...{ identity: tunnelIdentity(tunnel, from), mesh, log, lingerMs: limits.lingerMs, metrics },
      }),
    onJoin: (session) => {
      log.info("tunnel connected", {
        ...{ tunnel: session.tunnel.id, hostname: session.tunnel.hostname, role: session.role, from: session.from },
      });
      void noteSighting(state, log, session.tunnel.id, { from: session.from });
    },
    onEnd: (session, error) => {
      metrics.countRefusal(error.kind);
      log.info("tunnel disconnected", {
        ...{ tunnel: session.tunnel.id, hostname: session.tunnel.hostname, role: session.role },
        ...{ code: error.code, reason: error.message },
      });
      const live = sessions.isLive(session.tunnel.id);
      if (!live) void noteSighting(state, log, session.tunnel.id, { from: session.from, ended: true });
    },
  });

  certificates.onChange = () => void sessions.retryRefused();
  services.onFreed = soon(() => void sessions.retryRefused());
  services.onRenamed = soon(() => mesh.recheck());
  const dns = createDns(options.domains);
  const looks = stack.use(
    new DomainLooks({
      ...{ state, dns, log },
      tell: (tunnel, notice) => void sessions.serving(tunnel)?.send({ kind: "notice", ...notice }),
    }),
  );
  const proofs = stack.use(
    new DomainProofs({ state, looks, dns, edge: edgeHost(options.address, hostname) }),
  );
  stack.use(state.names.watchProven((proven) => void sessions.refreshDomain(proven)));
  repeat(stack, DOMAIN_LOOKS_MS, () => void looks.tick());

  const unauthenticated = new ConnectionCounter({
    perAddress: limits.unauthenticatedPerAddress,
    total: limits.unauthenticated,
    dropFrom: limits.unauthenticated >> 1,
    exempt: isExempt,
  });
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
    toEndpoint: (connection) => endpoint.take(connection),
    toHttp: (connection) => httpEdge.takeSecure(connection),
    toHttpFromMesh: (visit, serverName) => httpEdge.serveMesh(visit, serverName),
  });
  const tls = stack.use(await tlsEdge.listen({ ...DEFAULTS.tls, ...options.tls }));
  about.tlsPort = options.tls?.publicPort ?? tls.address.port;

  let draining = false;
  const admin = options.admin === false ? null : listenAdmin({ ...DEFAULTS.admin, ...options.admin }, {
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

  const mesh: Mesh = createMesh(options, {
    ...{
      services,
      router,
      limits,
      log,
      edges: { http: httpEdge, tls: tlsEdge },
      names: [hostname],
    },
    ports: () => [
      ...[about.httpPort, about.tlsPort, http.address.port, tls.address.port, admin?.address.port ?? 0],
      ...Object.values(proxies?.addresses ?? {}).map(({ port }) => port),
      tcp,
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
  repeat(stack, SIGHTING_INTERVAL_MS, () => void tidy(state, sessions, log));
  await certificates.start();
  return {
    ...{ state, sessions, mesh, proxies, endpoint, httpEdge, tlsEdge, tcpEdge, http, tls, admin },
    invitation: invitationOf(options, { hostname, tlsPort: about.tlsPort, pin: certificates.pin }),
    drain: () => draining = true,
  };
}

function checkedName(name: string, what: string): string {
  const canonical = canonicalHost(name);
  if (!isHostName(canonical)) {
    throw new CodedError("CONFIG_INVALID", `Cannot use "${name}" as ${what}: it is not a host name`);
  }
  return canonical;
}

async function openStore({ stateDir }: ServerOptions, log: Logger): Promise<Store> {
  if (stateDir === undefined) return new MemoryStore();
  await prepareStateFolder(stateDir);
  return await openSqliteStore(join(stateDir, STORE_FILE), { log });
}

function invitationOf(
  { address, tls }: ServerOptions,
  { hostname, tlsPort, pin }: { hostname: string; tlsPort: number; pin: string | undefined },
): Omit<Invite, "token"> {
  const server = address ?? `${hostname}:${tlsPort}`;
  const host = server.replace(/:\d+$/, "").replace(/^\[|\]$/g, "");
  // The server's own certificate is good for its internal name, which clients ask for when they dial an address.
  const covered = host === hostname || (tls?.certificate === undefined && parseAddress(host) !== null);
  return {
    server: /:\d+$/.test(server) ? server : `${server}:${tlsPort}`,
    ...(pin === undefined ? {} : { pin }),
    ...(covered ? {} : { sni: hostname }),
  };
}

/** Ownership of one-shots ends some time after their session: what is connected is noted, what has gone is removed. */
async function tidy(state: ServerState, sessions: Sessions, log: Logger): Promise<void> {
  try {
    await Promise.all(
      sessions.all.filter(({ tunnel }) => tunnel.parent !== undefined).map(({ tunnel, from }) =>
        state.sightings.note(tunnel.id, { from })
      ),
    );
    await state.sweep((id) => sessions.isLive(id));
  } catch (error) {
    log.error("state not tidied", { reason: toCodedError(error).message });
  }
}

async function noteSighting(
  state: ServerState,
  log: Logger,
  tunnel: string,
  sighting: { from: string; ended?: boolean },
): Promise<void> {
  try {
    await state.sightings.note(tunnel, sighting);
  } catch (error) {
    log.warn("sighting not noted", { tunnel, reason: toCodedError(error).message });
  }
}

/** Whether the store still works: without it nobody new can come, though what is connected goes on. */
async function answers(store: Store): Promise<boolean> {
  try {
    await store.get("readyz");
    return true;
  } catch {
    return false; // The store has logged why.
  }
}

/** Once for all calls of one moment: many rules come and go together. */
function soon(action: () => void): () => void {
  let waits = false;
  return () => {
    if (waits) return;
    waits = true;
    queueMicrotask(() => {
      waits = false;
      action();
    });
  };
}

function repeat(stack: AsyncDisposableStack, ms: number, action: () => void): void {
  const timer = setInterval(action, ms);
  stack.defer(() => clearInterval(timer));
}
