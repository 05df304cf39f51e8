import { Deadline } from "../net/deadline.ts";
import type { Duplex, MaybePromise } from "../net/duplex.ts";
import type { AcquireOptions, UpstreamStream, VisitorLife } from "../net/http/proxy/http_context.ts";
import { StreamResetError } from "../protocol/errors.ts";

/** A connection that carried no request for so long is closed, before a typical target (75 s) closes it under us. */
const IDLE_MS = 60_000;
/** Connections kept for the next request: more than a burst of visitors leaves behind is of no use to the next one. */
const MAX_IDLE = 64;
/** A target ends its direction within this time after we have ended ours, or the connection is reset. */
const END_TIMEOUT_MS = 5_000;

/** How connections to a target are made and kept. */
export interface TargetUpstreamsOptions {
  /** Connects for a visitor. @throws {CodedError} why there is no connection */
  readonly dial: (visitor: { address: string; port: number }) => Promise<Duplex>;
  /** Whether a connection serves any visitor, one after the other; false when the target was told for whom it is, and serves that one alone. */
  readonly shared: boolean;
}

/** The keep-alive connections from here to one target. */
export class TargetUpstreams {
  readonly #options: TargetUpstreamsOptions;
  /** Last used first: the others age and are closed. */
  readonly #idle: TargetUpstream[] = [];
  #closed = false;

  constructor(options: TargetUpstreamsOptions) {
    this.#options = options;
  }

  /** Connections that wait for a request. */
  get idle(): number {
    return this.#idle.length;
  }

  /** A connection for one exchange: a used one, unless a fresh one is asked for. @throws {CodedError} as `dial` */
  acquire(options: AcquireOptions): MaybePromise<UpstreamStream> {
    const used = options.fresh ? undefined : this.#take(options);
    if (used === undefined) return this.#dial(options);
    used.lend();
    return used;
  }

  /** The exchange on it ended cleanly. */
  putBack(upstream: TargetUpstream): void {
    if (this.#closed || upstream.orphaned) return upstream.end();
    if (this.#idle.length >= MAX_IDLE) this.#idle.shift()?.end();
    this.#idle.push(upstream);
    upstream.park();
  }

  /** An idle one has ended. */
  remove(upstream: TargetUpstream): void {
    const at = this.#idle.indexOf(upstream);
    if (at >= 0) this.#idle.splice(at, 1);
  }

  /** Ends what is idle now, and the others with their exchange: the rule leads elsewhere, or is gone. */
  close(): void {
    this.#closed = true;
    for (const upstream of this.#idle.splice(0)) upstream.end();
  }

  /** The one that was used last. */
  #take({ visitor }: AcquireOptions): TargetUpstream | undefined {
    if (this.#options.shared) return this.#idle.pop();
    const at = this.#idle.findLastIndex((each) => each.visitor === visitor);
    return at < 0 ? undefined : this.#idle.splice(at, 1)[0];
  }

  async #dial({ address, port, visitor }: AcquireOptions): Promise<UpstreamStream> {
    const connection = await this.#options.dial({ address, port });
    if (visitor.gone) {
      connection.reset();
      throw new StreamResetError("The visitor has gone");
    }
    return new TargetUpstream({ owner: this, connection, ...this.#options.shared ? {} : { visitor } });
  }
}

interface TargetUpstreamParts {
  readonly owner: TargetUpstreams;
  readonly connection: Duplex;
  readonly visitor?: VisitorLife;
}

/** One connection to a target, lent for one exchange at a time. */
class TargetUpstream implements UpstreamStream {
  readonly closed: Promise<void>;
  reused = false;
  sent = 0;
  /** The kernel took what was sent; what the target saw of it, nobody can tell. */
  readonly finWritten: undefined = undefined;
  /** The one visitor's connection that it is for; `undefined` when it is for all. */
  readonly visitor: VisitorLife | undefined;
  readonly #owner: TargetUpstreams;
  readonly #connection: Duplex;
  readonly #deadline: Deadline;
  #idle = false;
  /** A read begun while idle, to notice that the target closes; the next exchange's first read. */
  #ahead: Promise<Uint8Array | null> | null = null;

  constructor({ owner, connection, visitor }: TargetUpstreamParts) {
    this.#owner = owner;
    this.#connection = connection;
    this.visitor = visitor;
    this.#deadline = new Deadline(Infinity, () => this.#onGone());
    visitor?.signal.addEventListener("abort", this.#onGone, { once: true });
    this.closed = connection.closed;
    this.closed.then(() => {
      visitor?.signal.removeEventListener("abort", this.#onGone);
      this.#deadline[Symbol.dispose]();
    });
  }

  /** Whether the visitor that it is for has gone. */
  get orphaned(): boolean {
    return this.visitor?.gone === true;
  }

  get ready(): boolean {
    return this.#ahead === null && this.#connection.ready === true;
  }

  get headroom(): number {
    return this.#connection.headroom ?? 0;
  }

  /** Whoever lends it has waited for the target. */
  opened(): Promise<void> {
    return Promise.resolve();
  }

  read(): MaybePromise<Uint8Array | null> {
    const ahead = this.#ahead;
    if (ahead === null) return this.#connection.read();
    this.#ahead = null;
    return ahead;
  }

  write(bytes: Uint8Array, headroom?: number): MaybePromise<void> {
    this.sent += bytes.length;
    return this.#connection.write(bytes, headroom);
  }

  closeWrite(): MaybePromise<void> {
    return this.#connection.closeWrite();
  }

  reset(reason?: unknown): void {
    this.#connection.reset(reason);
  }

  close(): void {
    this.#connection.close();
  }

  release(): void {
    this.#owner.putBack(this);
  }

  finish(): void {
    this.end();
  }

  /** Another exchange begins. */
  lend(): void {
    this.reused = true;
    this.#idle = false;
    this.#deadline.replace(Infinity);
  }

  /** Waits, idle, for the next exchange. */
  park(): void {
    this.#idle = true;
    this.#deadline.replace(IDLE_MS);
    if (this.#ahead !== null) return; // Nothing was read in the last exchange.
    try {
      const ahead = Promise.resolve(this.#connection.read());
      this.#ahead = ahead;
      ahead.then(this.#onGone, this.#onGone);
    } catch {
      // That it broke meanwhile is no fault of the exchange, whose answer is complete.
      this.#onGone();
    }
  }

  /** Ends both directions cleanly, if the target does as well. */
  end(): void {
    this.#idle = false;
    void this.#end();
  }

  /** Idle for too long, closed by the target, or left by its visitor. What comes while it is lent is the answer: the exchange sees it. */
  readonly #onGone = (): void => {
    if (!this.#idle) return;
    this.#owner.remove(this);
    this.end();
  };

  async #end(): Promise<void> {
    this.#deadline.replace(END_TIMEOUT_MS, () => this.#connection.reset());
    try {
      await this.#connection.closeWrite();
      if (await this.read() !== null) throw new StreamResetError("The target sent more than its answer");
      this.#connection.close();
    } catch (error) {
      this.#connection.reset(error);
    }
  }
}
