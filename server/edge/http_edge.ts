import type { Challenges } from "../../net/acme/challenges.ts";
import { Deadline } from "../../net/deadline.ts";
import type { Duplex, PushbackDuplex } from "../../net/duplex.ts";
import { type Bound, listen, type Peer } from "../../net/listen.ts";
import type { Logger } from "../../net/log.ts";
import { SocketDuplex } from "../../net/socket_duplex.ts";
import type { TlsConnection } from "../../net/tls_front.ts";
import { CodedError, type ErrorName, toCodedError } from "../../protocol/errors.ts";
import type { ConnectionCounter } from "../connection_counter.ts";
import type { ServerLimits } from "../limits.ts";
import type { Metrics } from "../metrics.ts";
import { PublishedRule } from "../published_rule.ts";
import type { Router } from "../router.ts";
import { acmeChallenge } from "./acme_challenge.ts";
import { httpsRedirect } from "./https_redirect.ts";
import type { Identify } from "./identify.ts";
import { type MeshVisit, sourceOf } from "./mesh_visit.ts";
import { RunningVisits } from "./running_visits.ts";
import type {
  ConnectAsked,
  ExchangeFacts,
  RouteDecision,
  RoutedRequest,
  TakenConnect,
} from "../../net/http/proxy/http_context.ts";
import { serveHttpVisitor } from "../../net/http/proxy/http_visitor.ts";

/** What the HTTP edge needs. */
export interface HttpEdgeOptions {
  router: Router;
  visitors: ConnectionCounter;
  identify: Identify;
  /** The answers for names whose certificates the server gets itself. */
  challenges: Challenges;
  /** Whether the server sees to the certificate of a name whose rule does not say who does. */
  manages: (name: string) => boolean;
  /** The public port of HTTPS; it is known once that listens. */
  tlsPort: () => number;
  trustedProxies: (address: string) => boolean;
  /** Takes a CONNECT of plain HTTP for the mesh, before it is routed; `undefined` leaves it to the rules. @default leaves it */
  takeConnect?: (visitor: PushbackDuplex, asked: ConnectAsked) => TakenConnect | undefined;
  limits: Readonly<ServerLimits>;
  metrics: Metrics;
  log: Logger;
}

/** A visitor's connection, and how it came. */
interface HttpVisit {
  visitor: Duplex;
  /** The same where it came to the plain port: what it sends by CONNECT may be for the mesh. */
  plain?: PushbackDuplex;
  from: Peer;
  /** It comes through the mesh. */
  mesh?: MeshVisit;
  /** The name asked for in TLS that was ended here; without it the visitor speaks plain HTTP. */
  serverName?: string;
}

/** Serves visitors' HTTP connections, whichever listener they come from. */
export class HttpEdge {
  readonly visits = new RunningVisits();
  readonly #options: HttpEdgeOptions;
  readonly #draining = new AbortController();

  constructor(options: HttpEdgeOptions) {
    this.#options = options;
  }

  /** Opens the plain HTTP listener. @throws {CodedError} LISTEN_FAILED */
  listen(address: { hostname: string; port: number }): Promise<Bound> {
    return listen(address, (socket, peer) => {
      const visitor = SocketDuplex.plain(socket);
      this.visits.track(visitor, this.#accept(visitor, peer));
    });
  }

  /** Takes a connection whose TLS was ended for one of our names. */
  takeSecure({ duplex, serverName, peer, admitted }: TlsConnection): void {
    const visit = this.#serve({ visitor: duplex, from: peer, serverName });
    this.visits.track(duplex, visit.finally(() => admitted[Symbol.dispose]()));
  }

  /** Serves a connection that comes through the mesh, over TLS that was ended here when there is a name. Never rejects. */
  async serveMesh(mesh: MeshVisit, serverName?: string): Promise<void> {
    const { duplex: visitor, address } = mesh;
    const named = serverName === undefined ? {} : { serverName };
    const served = this.#serve({ visitor, from: { address, port: 0 }, mesh, ...named });
    this.visits.track(visitor, served);
    await served;
  }

  /** Ends idle connections now, and the others with their running exchange. */
  drain(): void {
    this.#draining.abort();
  }

  async #accept(visitor: SocketDuplex, peer: Peer): Promise<void> {
    try {
      const from = await this.#options.identify(visitor, peer);
      using admitted = this.#options.visitors.admit(from.address);
      if (admitted === null) throw new CodedError("TOO_MANY_CONNECTIONS");
      await this.#serve({ visitor, plain: visitor, from });
    } catch (error) {
      visitor.reset(error);
      const { code, kind, message } = toCodedError(error);
      const level = kind === "PROXY_HEADER_INVALID" ? "info" : "debug";
      this.#options.metrics.countRefusal(kind);
      this.#options.log[level]("visitor cut", { visitor: peer.address, code, reason: message });
    }
  }

  async #serve({ visitor, plain, from, serverName, mesh }: HttpVisit): Promise<void> {
    const { limits, log, metrics, trustedProxies, takeConnect } = this.#options;
    metrics.visitors.http++;
    using deadline = new Deadline(limits.firstByteMs, () => visitor.reset());
    try {
      await serveHttpVisitor(visitor, {
        ...from,
        proto: serverName === undefined ? "http" : "https",
        limits,
        deadline,
        log,
        draining: this.#draining.signal,
        // Whoever comes through the mesh is believed nothing, wherever it comes from.
        trustedProxies: mesh === undefined ? trustedProxies : () => false,
        route: serverName === undefined
          ? (request) => this.#routePlain(request, mesh)
          : (request) => this.#routeSecure(request, serverName, mesh),
        takeConnect: (asked) => plain === undefined ? undefined : takeConnect?.(plain, asked),
        onExchange: (facts) => this.#onExchange(facts),
      });
    } catch (error) {
      visitor.reset(error);
      log.error("visitor failed", { visitor: from.address, reason: String(error) });
    }
  }

  #routePlain(request: RoutedRequest, mesh?: MeshVisit): RouteDecision {
    const { tlsPort } = this.#options;
    const challenge = mesh === undefined ? acmeChallenge(request, this.#options) : undefined;
    if (challenge !== undefined) return challenge;
    const found = this.#find(request, mesh);
    if (!(found instanceof PublishedRule)) return found;
    const { rule } = found;
    // A trusted proxy that ended TLS itself must not be sent round in a circle.
    if (rule.kind === "http" && rule.redirect === true && request.proto === "http") {
      return { kind: "answer", answer: httpsRedirect(request.head, { host: request.host, tlsPort: tlsPort() }) };
    }
    return routeTo(found, mesh);
  }

  /** What is asked for must be what TLS was ended for, as rules may demand different things of it (security R39). */
  #routeSecure(request: RoutedRequest, serverName: string, mesh?: MeshVisit): RouteDecision {
    if (request.host !== serverName) return refused("MISDIRECTED");
    const found = this.#find(request, mesh);
    return found instanceof PublishedRule ? routeTo(found, mesh) : found;
  }

  #find({ host, address }: RoutedRequest, mesh?: MeshVisit): PublishedRule | RouteDecision {
    if (mesh !== undefined) return findInMesh(host, mesh);
    const found = this.#options.router.route(host);
    switch (found.kind) {
      case "found":
        return found.rule.allows(address) ? found.rule : refused("FORBIDDEN");
      case "offline":
        return refused("TUNNEL_OFFLINE");
      case "unknown":
        return refused("UNKNOWN_HOST");
      default:
        return found satisfies never;
    }
  }

  #onExchange({ host, status, error }: ExchangeFacts): void {
    this.#options.metrics.requests++;
    if (error === undefined) return;
    this.#options.metrics.countRefusal(error.kind);
    this.#options.log.info("request failed", {
      ...(host === undefined ? {} : { host }),
      ...(status === undefined ? {} : { status }),
      code: error.code,
      reason: error.message,
    });
  }
}

function routeTo({ upstreams }: PublishedRule, mesh?: MeshVisit): RouteDecision {
  if (upstreams === null) return refused("UNKNOWN_HOST");
  return { kind: "found", route: upstreams.route(mesh === undefined ? {} : { mesh: sourceOf(mesh) }) };
}

/** The policy stands in for the firewall: it is asked for every request, whatever the connection was opened for. */
function findInMesh(host: string, { find }: MeshVisit): PublishedRule | RouteDecision {
  try {
    return find(host);
  } catch (error) {
    return { kind: "refused", error: toCodedError(error) };
  }
}

function refused(kind: ErrorName): RouteDecision {
  return { kind: "refused", error: new CodedError(kind) };
}
