import { type Bound, listen, type Peer } from "../../net/listen.ts";
import type { Logger } from "../../net/log.ts";
import { SocketDuplex } from "../../net/socket_duplex.ts";
import { CodedError } from "../../protocol/errors.ts";
import type { ConnectionCounter } from "../connection_counter.ts";
import type { Metrics } from "../metrics.ts";
import type { PublishedRule } from "../published_rule.ts";
import type { PortOpener } from "../publisher.ts";
import type { Identify } from "./identify.ts";
import { cutVisitor, serveRawVisit } from "./raw_visit.ts";
import { RunningVisits } from "./running_visits.ts";

/** What the TCP edge needs. */
export interface TcpEdgeOptions {
  /** Address on which allocated ports listen. */
  bind: string;
  visitors: ConnectionCounter;
  identify: Identify;
  lingerMs: number;
  metrics: Metrics;
  log: Logger;
}

/** The public ports of TCP rules. */
export class TcpEdge implements PortOpener {
  readonly visits = new RunningVisits();
  readonly #options: TcpEdgeOptions;
  readonly #open = new Map<number, { bound: Bound; rule: PublishedRule }>();

  constructor(options: TcpEdgeOptions) {
    this.#options = options;
  }

  async open(port: number, rule: PublishedRule): Promise<void> {
    if (this.#open.has(port)) throw new CodedError("PORT_IN_USE", `Port ${port} is published by another session`);
    const bound = await this.#listen(port, rule);
    // Somebody else may have got it while we were binding another address of the same port.
    this.#open.set(port, { bound, rule });
  }

  close(port: number, rule: PublishedRule): void {
    const open = this.#open.get(port);
    if (open?.rule !== rule) return;
    this.#open.delete(port);
    open.bound.stop();
  }

  /** Whether a port could be opened now. */
  async probe(port: number): Promise<boolean> {
    if (this.#open.has(port)) return false;
    try {
      await using _bound = await listen({ hostname: this.#options.bind, port }, (socket) => socket.destroy());
      return true;
    } catch {
      return false; // Whatever the reason, it cannot be used.
    }
  }

  /** Takes no more visitors. */
  stop(): void {
    for (const { bound } of this.#open.values()) bound.stop();
  }

  async #listen(port: number, rule: PublishedRule): Promise<Bound> {
    try {
      return await listen({ hostname: this.#options.bind, port }, (socket, peer) => {
        const visitor = SocketDuplex.plain(socket);
        this.visits.track(visitor, this.#serve(visitor, peer, rule));
      });
    } catch (cause) {
      throw new CodedError("PORT_IN_USE", `Port ${port} cannot be opened on the server: ${(cause as Error).message}`, {
        cause,
      });
    }
  }

  /** One visitor, from accept to the end. A refused one is closed before a byte of it goes anywhere. */
  async #serve(visitor: SocketDuplex, peer: Peer, rule: PublishedRule): Promise<void> {
    const { visitors, identify, metrics } = this.#options;
    try {
      const from = await identify(visitor, peer);
      using admitted = visitors.admit(from.address);
      if (admitted === null) throw new CodedError("TOO_MANY_CONNECTIONS");
      metrics.visitors.tcp++;
      await serveRawVisit({ visitor, rule, protocol: "tcp", from }, this.#options);
    } catch (error) {
      cutVisitor({ visitor, rule, from: peer }, error, this.#options);
    }
  }
}
