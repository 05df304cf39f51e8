import type { Socket } from "node:net";
import { Deadline } from "../../net/deadline.ts";
import { canonicalAddress } from "../../net/http/forwarded.ts";
import { type Bound, listen, type Peer } from "../../net/listen.ts";
import type { Logger } from "../../net/log.ts";
import { SocketDuplex } from "../../net/socket_duplex.ts";
import { CodedError } from "../../protocol/errors.ts";
import type { ConnectionCounter } from "../connection_counter.ts";
import type { ServerLimits } from "../limits.ts";
import type { Metrics } from "../metrics.ts";
import type { Router } from "../router.ts";
import type { ExchangeFacts, RouteDecision, RoutedRequest } from "../../net/http/proxy/http_context.ts";
import { serveHttpVisitor } from "../../net/http/proxy/http_visitor.ts";

/** What the HTTP edge needs. */
export interface HttpEdgeOptions {
  router: Router;
  visitors: ConnectionCounter;
  trustedProxies: (address: string) => boolean;
  limits: Readonly<ServerLimits>;
  metrics: Metrics;
  log: Logger;
}

/** Serves visitors' HTTP connections, whichever listener they come from. */
export class HttpEdge {
  readonly #options: HttpEdgeOptions;
  readonly #draining = new AbortController();
  readonly #running = new Set<Promise<void>>();
  readonly #visitors = new Set<SocketDuplex>();

  constructor(options: HttpEdgeOptions) {
    this.#options = options;
  }

  /** Opens the plain HTTP listener. @throws {CodedError} LISTEN_FAILED */
  listen(address: { hostname: string; port: number }): Promise<Bound> {
    return listen(address, (socket, peer) => this.#accept(socket, peer));
  }

  /** Visitors' connections under way. */
  get running(): number {
    return this.#running.size;
  }

  /** Ends idle connections now, and the others with their running exchange. */
  drain(): void {
    this.#draining.abort();
  }

  /** Settles when the visitors that are here have gone. */
  async idle(): Promise<void> {
    while (this.#running.size > 0) await Promise.all(this.#running);
  }

  /** Resets the visitors that are still here, and waits until they are gone. */
  async cut(): Promise<void> {
    for (const visitor of this.#visitors) visitor.reset();
    await this.idle();
  }

  #accept(socket: Socket, peer: Peer): void {
    const address = canonicalAddress(peer.address) ?? peer.address;
    const admitted = this.#options.visitors.admit(address);
    if (admitted === null) {
      this.#options.metrics.countRefusal("TOO_MANY_CONNECTIONS");
      socket.on("error", () => {}); // Its owner was refused; how it goes is of no interest.
      return void socket.resetAndDestroy();
    }
    const running = this.#serve(SocketDuplex.plain(socket), { address, port: peer.port }).finally(() => {
      admitted[Symbol.dispose]();
      this.#running.delete(running);
    });
    this.#running.add(running);
  }

  async #serve(visitor: SocketDuplex, { address, port }: Peer): Promise<void> {
    const { limits, log, metrics, trustedProxies } = this.#options;
    metrics.visitors.http++;
    this.#visitors.add(visitor);
    using deadline = new Deadline(limits.firstByteMs, () => visitor.reset());
    try {
      await serveHttpVisitor(visitor, {
        address,
        port,
        proto: "http",
        limits,
        deadline,
        log,
        draining: this.#draining.signal,
        trustedProxies,
        route: (request) => this.#route(request),
        onExchange: (facts) => this.#onExchange(facts),
      });
    } catch (error) {
      visitor.reset(error);
      log.error("visitor failed", { visitor: address, reason: String(error) });
    } finally {
      this.#visitors.delete(visitor);
    }
  }

  #route({ host, address }: RoutedRequest): RouteDecision {
    const found = this.#options.router.route(host);
    switch (found.kind) {
      case "found": {
        const { rule } = found;
        if (!rule.allows(address)) return { kind: "refused", error: new CodedError("FORBIDDEN") };
        if (rule.upstreams === null) return { kind: "refused", error: new CodedError("UNKNOWN_HOST") };
        return { kind: "found", route: rule.upstreams.route() };
      }
      case "offline":
        return { kind: "refused", error: new CodedError("TUNNEL_OFFLINE") };
      case "unknown":
        return { kind: "refused", error: new CodedError("UNKNOWN_HOST") };
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
