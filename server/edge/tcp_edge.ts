import type { Socket } from "node:net";
import { type Bound, listen, type Peer } from "../../net/listen.ts";
import type { Logger } from "../../net/log.ts";
import { pipe } from "../../net/pipe.ts";
import { SocketDuplex } from "../../net/socket_duplex.ts";
import { canonicalAddress } from "../../net/http/forwarded.ts";
import { CodedError, toCodedError } from "../../protocol/errors.ts";
import type { ConnectionCounter } from "../connection_counter.ts";
import type { Metrics } from "../metrics.ts";
import type { PublishedRule, Visit } from "../published_rule.ts";
import type { PortOpener } from "../publisher.ts";

/** What the TCP edge needs. */
export interface TcpEdgeOptions {
  /** Address on which allocated ports listen. */
  bind: string;
  visitors: ConnectionCounter;
  lingerMs: number;
  metrics: Metrics;
  log: Logger;
}

/** The public ports of TCP rules. */
export class TcpEdge implements PortOpener {
  readonly #options: TcpEdgeOptions;
  readonly #open = new Map<number, { bound: Bound; rule: PublishedRule }>();
  readonly #running = new Set<Promise<void>>();
  readonly #visitors = new Set<SocketDuplex>();

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

  /** Visitors' connections under way. */
  get running(): number {
    return this.#running.size;
  }

  /** Takes no more visitors. */
  stop(): void {
    for (const { bound } of this.#open.values()) bound.stop();
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

  async #listen(port: number, rule: PublishedRule): Promise<Bound> {
    try {
      return await listen({ hostname: this.#options.bind, port }, (socket, peer) => {
        const running = this.#serve(socket, peer, rule).finally(() => this.#running.delete(running));
        this.#running.add(running);
      });
    } catch (cause) {
      throw new CodedError("PORT_IN_USE", `Port ${port} cannot be opened on the server: ${(cause as Error).message}`, {
        cause,
      });
    }
  }

  /** One visitor, from accept to the end. A refused one is closed before a byte of it goes anywhere. */
  async #serve(socket: Socket, peer: Peer, rule: PublishedRule): Promise<void> {
    const { visitors, metrics, log } = this.#options;
    const address = canonicalAddress(peer.address) ?? peer.address;
    const visitor = SocketDuplex.plain(socket);
    this.#visitors.add(visitor);
    using admitted = visitors.admit(address);
    const fields = { tunnel: rule.session.tunnel.id, rule: rule.id, visitor: address };
    const visit: Visit = { address, reset: (error) => visitor.reset(error) };
    try {
      if (admitted === null) throw new CodedError("TOO_MANY_CONNECTIONS");
      if (!rule.allows(address)) throw new CodedError("FORBIDDEN");
      rule.enter(visit);
      metrics.visitors.tcp++;
      await this.#join(visitor, rule, { address, port: peer.port });
      log.debug("visitor left", fields);
    } catch (error) {
      const { code, kind, message } = toCodedError(error);
      visitor.reset(error);
      metrics.countRefusal(kind);
      log[kind === "STREAM_RESET" ? "debug" : "info"]("visitor cut", { ...fields, code, reason: message });
    } finally {
      rule.leave(visit);
      this.#visitors.delete(visitor);
    }
  }

  async #join(visitor: SocketDuplex, rule: PublishedRule, from: { address: string; port: number }): Promise<void> {
    const { id, revision, session } = rule;
    const stream = await session.open({ rule: id, revision, protocol: "tcp", visitor: from });
    await pipe(visitor, stream, {
      lingerMs: this.#options.lingerMs,
      onBytes: (count, direction) => {
        if (direction === "down") stream.delivered += count;
        this.#options.metrics.bytes[direction] += count;
      },
    });
  }
}
