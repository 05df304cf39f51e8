import { ChannelSet } from "../net/channel_set.ts";
import type { ChannelStream } from "../net/channel_stream.ts";
import { DataChannel } from "../net/data_channel.ts";
import { Deadline } from "../net/deadline.ts";
import type { Logger } from "../net/log.ts";
import { Running } from "../net/running.ts";
import type { Destination } from "../protocol/destination.ts";
import { CodedError, type ProtocolError, toCodedError } from "../protocol/errors.ts";
import { MAX_CHANNELS_PER_SESSION } from "../protocol/limits.ts";
import { type ChannelDial, dialChannel, LIVENESS, PARALLEL_DIALS } from "./dial_channel.ts";

/** Wait of a stream for a channel: as at the server. */
const CHANNEL_WAIT_MS = 10_000;
/** Streams that may wait at once: a burst of as many as there may be channels, as at the server. */
const MAX_WAITING = 1_024;
/** `ok` or `error` after `connect`: the server may have to wait for another tunnel (10 s), and that for its target (15 s). */
const ANSWER_TIMEOUT_MS = 30_000;
/** Without a new stream for so long, only what a door needs is kept. */
const QUIET_AFTER_MS = 60_000;
/** Idle channels that are kept until then: each costs the server about 30 KiB. */
const MAX_IDLE = 32;
/** Of those that are too many a sweep lets go one in so many: half of them in 5 s, as another burst may follow. */
const FADE = 32;
/** The idle channel of a door that failed or was closed by the server is dialled again after this time, unless somebody needs it. */
const KEEP_AGAIN_MS = 5_000;

/** What the channels need. */
export interface OutgoingChannelsOptions extends ChannelDial {
  /** Whether one channel is kept idle, so that the next stream need not wait for a dial. */
  readonly keepIdle: () => boolean;
  readonly log: Logger;
}

interface Waiter {
  readonly since: number;
  readonly give: (channel: DataChannel) => void;
  readonly fail: (error: unknown) => void;
}

/** The data channels of one session on which the client opens streams into the mesh; they are dialled when they are needed. */
export class OutgoingChannels {
  readonly #options: OutgoingChannelsOptions;
  readonly #channels = new ChannelSet();
  /** Last in, first out: the one just used is the warmest, the others age and can be let go. */
  readonly #idle: DataChannel[] = [];
  readonly #waiters = new Set<Waiter>();
  readonly #streams = new Running();
  readonly #dials = new Set<Promise<void>>();
  readonly #ending = new AbortController();
  #retiring = false;
  /** Most channels that carried a stream at once since the pool was quiet. */
  #peak = 0;
  #usedAt = performance.now();
  #keepAgainAt = 0;

  constructor(options: OutgoingChannelsOptions) {
    this.#options = options;
  }

  /** Channels in all, idle ones, and streams that wait for one. */
  get counts(): { channels: number; idle: number; waiting: number } {
    return { channels: this.#channels.size, idle: this.#idle.length, waiting: this.#waiters.size };
  }

  /**
   * Opens a stream, and waits until the server has connected it to its destination.
   * @throws {CodedError} the server's refusal, TUNNEL_BUSY, TARGET_TIMEOUT, SERVER_UNREACHABLE, SESSION_CLOSED; the signal's reason
   */
  async open(destination: Destination, { signal }: { signal?: AbortSignal } = {}): Promise<ChannelStream> {
    signal?.throwIfAborted();
    const stream = (await this.#acquire(signal)).connect(destination);
    void this.#streams.add(stream.closed);
    const abort = (): void => stream.reset(signal?.reason);
    signal?.addEventListener("abort", abort, { once: true });
    using _deadline = new Deadline(ANSWER_TIMEOUT_MS, () => {
      stream.reset(new CodedError("TARGET_TIMEOUT", "The server did not answer in time"));
    });
    try {
      await stream.opened();
      return stream;
    } catch (error) {
      signal?.throwIfAborted();
      throw error;
    } finally {
      signal?.removeEventListener("abort", abort);
    }
  }

  /** Several times a second: looks after liveness, lets go of what is not needed, and keeps one idle for doors. */
  sweep(now: number): void {
    this.#channels.checkLiveness(now, LIVENESS);
    if (this.#isQuiet(now)) this.#peak = this.#busy;
    const keep = this.#options.keepIdle() ? 1 : 0;
    const wanted = this.#isQuiet(now) ? keep : Math.max(keep, Math.min(this.#peak, MAX_IDLE));
    const spare = Math.max(0, this.#idle.length - wanted);
    // What was sent on them last may still be on its way, so they are not cut.
    for (const channel of this.#idle.splice(0, this.#isQuiet(now) ? spare : Math.ceil(spare / FADE))) channel.retire();
    this.#dialMore(now);
  }

  /** The control channel was resumed: finds out which channels survived. */
  pingAll(): void {
    this.#channels.pingAll();
  }

  /** Settles when no stream is under way. */
  idle(): Promise<void> {
    return this.#streams.idle();
  }

  /** Ends every idle channel without loss, and opens no more streams. */
  async retire(): Promise<void> {
    this.#retiring = true;
    for (const channel of this.#idle.splice(0)) channel.retire();
    await this.#channels.empty();
  }

  /** Closes everything; running streams are reset. */
  async end(): Promise<void> {
    this.#ending.abort();
    for (const { fail } of [...this.#waiters]) fail(new CodedError("SESSION_CLOSED"));
    this.#channels.close();
    await Promise.all(this.#dials);
  }

  /** An idle channel, after waiting for one when there is none. */
  async #acquire(signal: AbortSignal | undefined): Promise<DataChannel> {
    for (;;) {
      if (this.#retiring || this.#ending.signal.aborted) throw new CodedError("SESSION_CLOSED");
      this.#usedAt = performance.now();
      const channel = this.#takeIdle() ?? await this.#wait(signal);
      // One that was given to a waiting stream may be lost before the stream's turn comes.
      if (channel.closed) continue;
      if (signal?.aborted) this.#onIdle(channel);
      signal?.throwIfAborted();
      this.#peak = Math.max(this.#peak, this.#busy);
      this.#dialMore();
      return channel;
    }
  }

  /** A channel that was heard of lately; one that may be dead is pinged and left to the sweep. */
  #takeIdle(): DataChannel | undefined {
    const tooOld = performance.now() - LIVENESS.silenceMs - LIVENESS.pongMs;
    const at = this.#idle.findLastIndex(({ liveness }) => liveness.heardAt >= tooOld);
    return at < 0 ? undefined : this.#idle.splice(at, 1)[0];
  }

  async #wait(signal: AbortSignal | undefined): Promise<DataChannel> {
    if (this.#waiters.size >= MAX_WAITING) {
      throw new CodedError("TUNNEL_BUSY", `${MAX_WAITING} connections wait for a channel to the server already`);
    }
    const { promise, resolve, reject } = Promise.withResolvers<DataChannel>();
    const waiter: Waiter = { since: performance.now(), give: resolve, fail: reject };
    const abort = (): void => reject(signal?.reason);
    signal?.addEventListener("abort", abort, { once: true });
    using _deadline = new Deadline(CHANNEL_WAIT_MS, () => reject(new CodedError("TUNNEL_BUSY")));
    this.#waiters.add(waiter);
    this.#dialMore();
    try {
      return await promise;
    } finally {
      this.#waiters.delete(waiter);
      signal?.removeEventListener("abort", abort);
    }
  }

  /** The channel is free: the longest waiting stream takes it. */
  #onIdle(channel: DataChannel): void {
    if (this.#retiring) return channel.retire();
    const [waiter] = this.#waiters;
    if (waiter === undefined) return void this.#idle.push(channel);
    this.#waiters.delete(waiter);
    waiter.give(channel);
  }

  #onClosed(channel: DataChannel, violation: ProtocolError | undefined): void {
    const { log } = this.#options;
    this.#channels.delete(channel);
    const at = this.#idle.indexOf(channel);
    if (at >= 0) {
      this.#idle.splice(at, 1);
      this.#keepAgainAt = performance.now() + KEEP_AGAIN_MS;
    }
    if (violation !== undefined) log.error("server broke the protocol", { reason: violation.message });
  }

  #dialMore(now: number = performance.now()): void {
    if (this.#retiring || this.#ending.signal.aborted) return;
    const isKept = this.#idle.length > 0 || now < this.#keepAgainAt || !this.#options.keepIdle();
    const wanted = Math.min(PARALLEL_DIALS, this.#waiters.size + (isKept ? 0 : 1));
    while (this.#dials.size < wanted && this.#channels.size + this.#dials.size < MAX_CHANNELS_PER_SESSION) {
      const dial = this.#dial().finally(() => {
        this.#dials.delete(dial);
        this.#dialMore();
      });
      this.#dials.add(dial);
    }
  }

  async #dial(): Promise<void> {
    const { signal } = this.#ending;
    const begun = performance.now();
    try {
      const { duplex, initial } = await dialChannel(this.#options, { opener: "client", signal });
      if (signal.aborted || this.#retiring) return duplex.reset();
      const channel = new DataChannel(duplex, {
        ...{ client: true, opener: true, secure: true, initial },
        onIdle: (free) => this.#onIdle(free),
        onClosed: (closed, violation) => this.#onClosed(closed, violation),
      });
      if (channel.closed) return;
      this.#channels.add(channel);
      this.#onIdle(channel);
    } catch (error) {
      if (!signal.aborted) this.#onDialFailed(toCodedError(error), begun);
    }
  }

  /** One stream fails for each dial that does; those which came after it began get another one. */
  #onDialFailed(error: CodedError, begun: number): void {
    this.#keepAgainAt = performance.now() + KEEP_AGAIN_MS;
    this.#options.log.warn("data channel failed", { code: error.code, reason: error.message });
    const [waiter] = this.#waiters;
    if (waiter === undefined || waiter.since > begun) return;
    this.#waiters.delete(waiter);
    waiter.fail(error);
  }

  get #busy(): number {
    return this.#channels.size - this.#idle.length;
  }

  #isQuiet(now: number): boolean {
    return now - this.#usedAt > QUIET_AFTER_MS && this.#waiters.size === 0;
  }
}
