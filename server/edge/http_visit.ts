import type { Challenges } from "../../net/acme/challenges.ts";
import { isLoopback } from "../../net/address.ts";
import { Deadline } from "../../net/deadline.ts";
import type { Drain } from "../../net/drain.ts";
import type { Duplex, PushbackDuplex } from "../../net/duplex.ts";
import type { Peer } from "../../net/listen.ts";
import type { Logger } from "../../net/log.ts";
import type {
  ConnectAsked,
  ExchangeFacts,
  HttpVisitorContext,
  RouteDecision,
  RoutedRequest,
  TakenConnect,
} from "../../net/http/proxy/http_context.ts";
import { CodedError, type ErrorName, toCodedError } from "../../protocol/errors.ts";
import type { HttpRule } from "../../protocol/rule.ts";
import type { ServerLimits } from "../limits.ts";
import type { Metrics } from "../metrics.ts";
import { passesOn, type RouteOptions } from "../published_rule.ts";
import type { Router } from "../router.ts";
import { acmeChallenge } from "./acme_challenge.ts";
import { httpsRedirect } from "./https_redirect.ts";
import { type MeshFound, type MeshVisit, sourceOf } from "./mesh_visit.ts";

/** A visitor's connection, and how it came. */
export interface Arrival {
  readonly visitor: Duplex;
  /** The same where it came to the plain port: what it sends by CONNECT may be for the mesh. */
  readonly plain?: PushbackDuplex;
  readonly from: Peer;
  /** It comes through the mesh. */
  readonly mesh?: MeshVisit;
  /** The name asked for in TLS that was ended here; without it the visitor speaks plain HTTP. */
  readonly serverName?: string;
  /** What counts it, until it has gone. */
  readonly admitted?: Disposable;
}

/** What deciding about requests needs. */
export interface HttpVisitOptions {
  router: Router;
  /** The answers for names whose certificates the server gets itself. */
  challenges: Challenges;
  /** Whether the server sees to the certificate of a name whose rule does not say who does. */
  manages: (name: string) => boolean;
  /** Whether the server has a certificate for a name that is valid now. */
  isReady: (name: string) => boolean;
  /** The public port of HTTPS; it is known once that listens. */
  tlsPort: () => number;
  trustedProxies: (address: string) => boolean;
  /** Takes a CONNECT of plain HTTP for the mesh, before it is routed; `undefined` leaves it to the rules. @default leaves it */
  takeConnect?: (visitor: PushbackDuplex, asked: ConnectAsked) => TakenConnect | undefined;
  limits: Readonly<ServerLimits>;
  metrics: Metrics;
  log: Logger;
}

/** What the edge does for its visits. */
export interface HttpVisitParts extends HttpVisitOptions {
  readonly draining: Drain;
  /** The visitor has gone. */
  readonly leave: (visitor: Duplex) => void;
}

/** Decides about the requests of one visitor's connection. A class, not closures: there is one for every idle visitor. */
export class HttpVisit implements HttpVisitorContext {
  readonly deadline: Deadline;
  readonly #arrival: Arrival;
  readonly #parts: HttpVisitParts;

  constructor(arrival: Arrival, parts: HttpVisitParts) {
    this.#arrival = arrival;
    this.#parts = parts;
    this.deadline = new Deadline(parts.limits.firstByteMs, () => arrival.visitor.reset());
  }

  get address(): string {
    return this.#arrival.from.address;
  }

  get port(): number {
    return this.#arrival.from.port;
  }

  get proto(): "http" | "https" {
    return this.#arrival.serverName === undefined ? "http" : "https";
  }

  get limits(): Readonly<ServerLimits> {
    return this.#parts.limits;
  }

  get log(): Logger {
    return this.#parts.log;
  }

  get draining(): Drain {
    return this.#parts.draining;
  }

  /** Whoever comes through the mesh is believed nothing, wherever it comes from. */
  trustedProxies(address: string): boolean {
    return this.#arrival.mesh === undefined && this.#parts.trustedProxies(address);
  }

  route(request: RoutedRequest): RouteDecision {
    const { serverName } = this.#arrival;
    return serverName === undefined ? this.#routePlain(request) : this.#routeSecure(request, serverName);
  }

  takeConnect(asked: ConnectAsked): TakenConnect | undefined {
    const { plain } = this.#arrival;
    return plain === undefined ? undefined : this.#parts.takeConnect?.(plain, asked);
  }

  onExchange({ host, visitor, status, error }: ExchangeFacts): void {
    const { metrics, log } = this.#parts;
    metrics.requests++;
    if (error === undefined) return;
    metrics.countRefusal(error.kind);
    log.info("request failed", {
      visitor,
      ...(host === undefined ? {} : { host }),
      ...(status === undefined ? {} : { status }),
      code: error.code,
      reason: error.message,
    });
  }

  onEnd(): void {
    const { visitor, admitted } = this.#arrival;
    this.deadline[Symbol.dispose]();
    admitted?.[Symbol.dispose]();
    this.#parts.leave(visitor);
  }

  #routePlain(request: RoutedRequest): RouteDecision {
    const { mesh } = this.#arrival;
    const { tlsPort } = this.#parts;
    const challenge = mesh === undefined ? acmeChallenge(request, this.#parts) : undefined;
    if (challenge !== undefined) return challenge;
    const found = this.#find(request);
    if (!("rule" in found)) return found;
    const { rule, standIn: host = request.host } = found;
    // A trusted proxy that ended TLS itself must not be sent round in a circle.
    if (rule.rule.kind === "http" && rule.rule.redirect === true && request.proto === "http") {
      const permanent = this.#hasHttps(rule.rule, host);
      return { kind: "answer", answer: httpsRedirect(request.head, { host, tlsPort: tlsPort(), permanent }) };
    }
    return routeTo(found, mesh, request.host);
  }

  /** Whether HTTPS of the name works, as far as can be known here. */
  #hasHttps({ tls, notAfter }: HttpRule, host: string): boolean {
    if (tls === "target") return true;
    // The client says how long its certificate lasts as soon as it has one.
    return tls === "client" ? notAfter !== undefined && Date.parse(notAfter) > Date.now() : this.#parts.isReady(host);
  }

  /** What is asked for must be what TLS was ended for, as rules may demand different things of it (security R39). */
  #routeSecure(request: RoutedRequest, serverName: string): RouteDecision {
    if (request.host !== serverName) return refused("MISDIRECTED");
    const found = this.#find(request);
    if (!("rule" in found)) return found;
    return passesOn(found.rule) ? { kind: "refused", error: passedOn() } : routeTo(found, this.#arrival.mesh);
  }

  #find({ host, address }: RoutedRequest): MeshFound | RouteDecision {
    const { mesh } = this.#arrival;
    if (mesh !== undefined) return findInMesh(host, mesh);
    const found = this.#parts.router.route(host);
    switch (found.kind) {
      case "found":
        return found.rule.allows(address) ? { rule: found.rule } : refused("FORBIDDEN");
      case "offline":
        return refused("TUNNEL_OFFLINE");
      case "unknown":
        return refused("UNKNOWN_HOST");
      default:
        return found satisfies never;
    }
  }
}

function routeTo({ rule: { upstreams }, standIn }: MeshFound, mesh?: MeshVisit, host: string = ""): RouteDecision {
  if (upstreams === null) return refused("UNKNOWN_HOST");
  if (mesh === undefined) return { kind: "found", route: upstreams.route() };
  const route = { mesh: sourceOf(mesh), ...(standIn === undefined ? {} : standInFor(host, standIn)) };
  return { kind: "found", route: upstreams.route(route) };
}

/**
 * WARNING: targets make links of what they are told, also for others. Of a host that names nothing they hear only where it leads nobody
 * but the visitor to its own machine, such as the `127.0.0.1:8080` of a port map.
 */
function standInFor(host: string, standIn: string): Pick<RouteOptions, "host" | "forwardedHost"> {
  const bare = host.replace(/^\[|\]$/g, "");
  const isLocal = bare === "localhost" || isLoopback(bare);
  return isLocal ? { host: standIn } : { host: standIn, forwardedHost: standIn };
}

/** The policy stands in for the firewall: it is asked for every request, whatever the connection was opened for. */
function findInMesh(host: string, { find }: MeshVisit): MeshFound | RouteDecision {
  try {
    return find(host);
  } catch (error) {
    return { kind: "refused", error: toCodedError(error) };
  }
}

/** Since TLS of the connection was ended here, the owner has said that it ends elsewhere: that of a new one will. */
function passedOn(): CodedError {
  return new CodedError("MISDIRECTED", "TLS for this name does not end at the server any more");
}

function refused(kind: ErrorName): RouteDecision {
  return { kind: "refused", error: new CodedError(kind) };
}
