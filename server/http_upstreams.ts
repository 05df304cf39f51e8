import { Deadline } from "../net/deadline.ts";
import type { ChannelStream } from "../net/channel_stream.ts";
import type { MaybePromise } from "../net/duplex.ts";
import { CodedError, StreamResetError } from "../protocol/errors.ts";
import type { AcquireOptions, HttpRoute, UpstreamStream, VisitorLife } from "../net/http/proxy/http_context.ts";
import type { PublishedRule, RouteOptions, Visit } from "./published_rule.ts";

/** How a stream is wanted, and how its request came. */
type LendOptions = AcquireOptions & Pick<RouteOptions, "mesh">;

/** An attached stream that carried no request for so long is given back, before a typical target (75 s) closes it under us. */
const ATTACHED_IDLE_MS = 60_000;
/** The client answers the end of an attached stream within this time, or the stream is reset. */
const DETACH_TIMEOUT_MS = 5_000;

/** The streams that are attached to keep-alive connections at the target of one HTTP rule. */
export class HttpUpstreams {
  readonly #rule: PublishedRule;
  readonly #protocol: "http" | "acme";
  /** Last used first: the others age and are given back. */
  readonly #idle: HttpUpstream[] = [];
  #key: { readonly revision: number } = { revision: 0 };

  /** `acme`: to the client's own answers to challenges, in place of its target. */
  constructor(rule: PublishedRule, protocol: "http" | "acme" = "http") {
    this.#rule = rule;
    this.#protocol = protocol;
  }

  /** The way of one request to the target, as the rule is now. */
  route({ host, forwardedHost, ...came }: RouteOptions = {}): HttpRoute {
    const { rule, revision, options } = this.#rule;
    const isHttp = this.#protocol === "http";
    if (this.#key.revision !== revision) this.#key = { revision };
    return {
      key: this.#key,
      options: isHttp ? options : undefined,
      forwardedHost,
      hostHeader: isHttp && rule.kind === "http" ? rule.hostHeader ?? host : undefined,
      acquire: (options) => this.acquire(came.mesh === undefined ? options : { ...options, ...came }),
    };
  }

  /** A stream for one exchange: an attached one, unless a fresh one is asked for. @throws {CodedError} as {@link Session.open} */
  acquire(options: LendOptions): MaybePromise<HttpUpstream> {
    const attached = options.fresh ? undefined : this.#take(options);
    if (attached === undefined) return this.#open(options);
    attached.lend(options);
    return attached;
  }

  /** The exchange on it ended cleanly: the next one may use it. */
  putBack(upstream: HttpUpstream): void {
    const { revision, withdrawn, session } = this.#rule;
    // Nobody who asks for challenges keeps a channel: there is no firewall before them, and a real authority asks a few times.
    if (this.#protocol === "acme") return upstream.detach();
    if (upstream.revision !== revision || withdrawn || session.draining || upstream.orphaned) return upstream.detach();
    this.#idle.push(upstream);
    upstream.park();
  }

  /** Gives every idle one back: the rule leads elsewhere now, or is gone. */
  closeIdle(): void {
    for (const upstream of this.#idle.splice(0)) upstream.detach();
  }

  /** Gives the longest idle one back; false when there is none. */
  closeOldest(): boolean {
    const oldest = this.#idle.shift();
    oldest?.detach();
    return oldest !== undefined;
  }

  /** The one that was used last. A connection that told its target whom it is for is only for the same visitor's connection. */
  #take({ address, visitor }: AcquireOptions): HttpUpstream | undefined {
    if (this.#rule.rule.proxyProtocol === undefined) return this.#idle.pop();
    const at = this.#idle.findLastIndex((each) => each.visitor === visitor && each.address === address);
    return at < 0 ? undefined : this.#idle.splice(at, 1)[0];
  }

  async #open(options: LendOptions): Promise<HttpUpstream> {
    const { address, port, visitor, mesh } = options;
    const { revision, id, session, rule } = this.#rule;
    const stream = await session.open({
      ...{ rule: id, revision, protocol: this.#protocol, visitor: { address, port } },
      ...mesh,
    });
    if (visitor.gone) {
      stream.reset();
      throw new StreamResetError("The visitor has gone");
    }
    // While the stream waited for its channel, the firewall may have been edited; challenges are answered to everybody.
    if (this.#protocol === "http" && mesh === undefined && !this.#rule.allows(address)) {
      const error = new CodedError("FORBIDDEN");
      stream.reset(error);
      throw error;
    }
    const owned = rule.proxyProtocol === undefined ? {} : { visitor };
    const upstream = new HttpUpstream({ owner: this, rule: this.#rule, stream, ...owned });
    upstream.lend(options);
    return upstream;
  }

  /** An idle one has ended. */
  remove(upstream: HttpUpstream): void {
    const at = this.#idle.indexOf(upstream);
    if (at >= 0) this.#idle.splice(at, 1);
  }
}

interface HttpUpstreamParts {
  readonly owner: HttpUpstreams;
  readonly rule: PublishedRule;
  readonly stream: ChannelStream;
  readonly visitor?: VisitorLife;
}

/** One stream that is attached to a connection at the target, lent for one exchange at a time. */
class HttpUpstream implements UpstreamStream, Visit {
  readonly closed: Promise<void>;
  /** The rule's revision at which it was opened. */
  readonly revision: number;
  reused = false;
  sent = 0;
  /** The visitor whose exchange is on it, or was the last. */
  address = "";
  /** That exchange came through the mesh. */
  exempt = false;
  /** The one visitor's connection that it is for; `undefined` when it is for all. */
  readonly visitor: VisitorLife | undefined;
  readonly #owner: HttpUpstreams;
  readonly #rule: PublishedRule;
  readonly #stream: ChannelStream;
  readonly #idleDeadline: Deadline;
  #exchanges = 0;
  #idle = false;
  /** A read begun while idle, to notice that the target closes; the next exchange's first read. */
  #ahead: Promise<Uint8Array | null> | null = null;

  constructor(parts: HttpUpstreamParts) {
    this.#owner = parts.owner;
    this.#rule = parts.rule;
    this.#stream = parts.stream;
    this.revision = parts.rule.revision;
    this.#idleDeadline = new Deadline(Infinity, () => this.#onGone());
    this.visitor = parts.visitor;
    this.visitor?.signal.addEventListener("abort", this.#onGone, { once: true });
    this.closed = parts.stream.closed;
    this.closed.then(() => {
      this.visitor?.signal.removeEventListener("abort", this.#onGone);
      this.#rule.leave(this);
      this.#idleDeadline[Symbol.dispose]();
    });
  }

  /** Whether the visitor that it is for has gone. */
  get orphaned(): boolean {
    return this.visitor?.gone === true;
  }

  get finWritten(): number | undefined {
    return this.#stream.finWritten;
  }

  opened(): Promise<void> {
    return this.#stream.opened();
  }

  read(): MaybePromise<Uint8Array | null> {
    const ahead = this.#ahead;
    if (ahead === null) return this.#stream.read();
    this.#ahead = null;
    return ahead;
  }

  write(bytes: Uint8Array, headroom?: number): MaybePromise<void> {
    this.sent += bytes.length;
    return this.#stream.write(bytes, headroom);
  }

  closeWrite(): Promise<void> {
    return this.#stream.closeWrite();
  }

  reset(reason?: unknown): void {
    this.#stream.reset(reason);
  }

  close(): void {
    this.#stream.close();
  }

  release(): void {
    this.#rule.leave(this);
    this.#owner.putBack(this);
  }

  finish(): void {
    this.#rule.leave(this);
    this.detach();
  }

  /** An exchange for a visitor begins. */
  lend({ address, mesh }: Pick<LendOptions, "address" | "mesh">): void {
    this.reused = this.#exchanges++ > 0;
    this.#idle = false;
    this.#idleDeadline.replace(Infinity);
    this.address = address;
    this.exempt = mesh !== undefined;
    this.#rule.enter(this);
  }

  /** Waits, idle, for the next exchange. */
  park(): void {
    this.#idle = true;
    this.#idleDeadline.replace(ATTACHED_IDLE_MS);
    try {
      const ahead = Promise.resolve(this.#stream.read());
      this.#ahead = ahead;
      ahead.then(this.#onGone, this.#onGone);
    } catch {
      // That it broke meanwhile is no fault of the exchange, whose answer is complete.
      this.#onGone();
    }
  }

  /** Ends the stream cleanly, so that its channel is free for others. */
  detach(): void {
    this.#idle = false;
    this.#detach();
  }

  /** Idle for too long, closed by the target, or left by its visitor. What comes while it is lent is the answer: the exchange sees it. */
  readonly #onGone = (): void => {
    if (!this.#idle) return;
    this.#owner.remove(this);
    this.detach();
  };

  async #detach(): Promise<void> {
    this.#idleDeadline.replace(DETACH_TIMEOUT_MS, () => this.#stream.reset());
    try {
      await this.#stream.closeWrite();
      if (await this.read() !== null) throw new StreamResetError("The target sent more than its answer");
    } catch (error) {
      this.#stream.reset(error);
    }
  }
}
