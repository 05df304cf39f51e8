import { Drain } from "../../net/drain.ts";
import { serveHttpVisitor } from "../../net/http/proxy/http_visitor.ts";
import { type Bound, listen, type Peer } from "../../net/listen.ts";
import { SocketDuplex } from "../../net/socket_duplex.ts";
import type { TlsConnection } from "../../net/tls_front.ts";
import { CodedError, toCodedError } from "../../protocol/errors.ts";
import type { ConnectionCounter } from "../connection_counter.ts";
import { type Arrival, HttpVisit, type HttpVisitOptions, type HttpVisitParts } from "./http_visit.ts";
import type { Identify } from "./identify.ts";
import type { MeshVisit } from "./mesh_visit.ts";
import { RunningVisits } from "./running_visits.ts";

/** What the HTTP edge needs. */
export interface HttpEdgeOptions extends HttpVisitOptions {
  visitors: ConnectionCounter;
  identify: Identify;
}

/** Serves visitors' HTTP connections, whichever listener they come from. */
export class HttpEdge {
  readonly visits = new RunningVisits();
  readonly #parts: HttpEdgeOptions & HttpVisitParts;

  constructor(options: HttpEdgeOptions) {
    this.#parts = { ...options, draining: new Drain(), leave: (visitor) => this.visits.leave(visitor) };
  }

  /** Opens the plain HTTP listener. @throws {CodedError} LISTEN_FAILED */
  listen(address: { hostname: string; port: number }): Promise<Bound> {
    return listen(address, (socket, peer) => void this.#accept(SocketDuplex.plain(socket), peer));
  }

  /** Takes a connection whose TLS was ended for one of our names. */
  takeSecure({ duplex, serverName, peer, admitted }: TlsConnection): void {
    void this.#serve({ visitor: duplex, from: peer, serverName, admitted });
  }

  /** Serves a connection that comes through the mesh, over TLS that was ended here when there is a name. Never rejects. */
  async serveMesh(mesh: MeshVisit, serverName?: string): Promise<void> {
    const { duplex: visitor, address } = mesh;
    const named = serverName === undefined ? {} : { serverName };
    await this.#serve({ visitor, from: { address, port: 0 }, mesh, ...named });
  }

  /** Ends idle connections now, and the others with their running exchange. */
  drain(): void {
    this.#parts.draining.begin();
  }

  async #accept(visitor: SocketDuplex, peer: Peer): Promise<void> {
    this.visits.enter(visitor);
    try {
      const from = await this.#parts.identify(visitor, peer);
      const admitted = this.#parts.visitors.admit(from.address);
      if (admitted === null) throw new CodedError("TOO_MANY_CONNECTIONS");
      void this.#serve({ visitor, plain: visitor, from, admitted });
    } catch (error) {
      this.#refuse(visitor, peer, toCodedError(error));
    }
  }

  #refuse(visitor: SocketDuplex, peer: Peer, error: CodedError): void {
    const { metrics, log } = this.#parts;
    const { code, kind, message } = error;
    const level = kind === "PROXY_HEADER_INVALID" ? "info" : "debug";
    visitor.reset(error);
    this.visits.leave(visitor);
    metrics.countRefusal(kind);
    log[level]("visitor cut", { visitor: peer.address, code, reason: message });
  }

  #serve(arrival: Arrival): Promise<void> {
    this.#parts.metrics.visitors.http++;
    this.visits.enter(arrival.visitor);
    return serveHttpVisitor(arrival.visitor, new HttpVisit(arrival, this.#parts));
  }
}
