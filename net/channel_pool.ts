import { CodedError } from "../protocol/errors.ts";
import { MAX_CHANNELS_PER_SESSION, MAX_POOL_REQUEST } from "../protocol/limits.ts";
import { ChannelSet } from "./channel_set.ts";
import type { DataChannel } from "./data_channel.ts";
import { Deadline } from "./deadline.ts";
import type { MaybePromise } from "./duplex.ts";
import type { LivenessLimits } from "./liveness.ts";

/** Idle channels kept ready while there is traffic. */
const MIN_IDLE = 4;
/** Idle channels kept after a time without streams. */
const MIN_IDLE_QUIET = 1;
/** Without a stream for so long, the pool is quiet. */
const QUIET_AFTER_MS = 60_000;
/** Channels asked for that have not come by then are asked for again: the client may have failed to dial. */
const ASK_AGAIN_MS = 5_000;
/** The peak of the last minute decides how many are kept idle; it fades by half a minute. */
const PEAK_HALF_LIFE_MS = 60_000;
/** A peer that does not close a channel in this time has lost it. */
const RETIRE_TIMEOUT_MS = 2_000;

/** Of the idle channels that are too many a sweep lets go one in so many: half of them in 5 s, as another burst may follow. */
const FADE = 8;

/** What a pool needs to know. */
export interface ChannelPoolOptions extends LivenessLimits {
  /** Asks the peer to open that many more. */
  ask: (count: number) => void;
  /** Frees an idle channel that is attached to a keep-alive connection; false when there is none. */
  reclaim: () => boolean;
  /** Wait of a stream for a channel, ms. */
  waitMs: number;
  /** Streams that may wait at once. */
  queue: number;
  /** Channels that the session has beside those of the pool. @default none */
  others?: () => number;
}

interface Waiter {
  give: (channel: DataChannel) => void;
  fail: (error: CodedError) => void;
}

/** The data channels of one session on the opening side: hands idle ones out, and sees to it that there are enough. */
export class ChannelPool {
  readonly #options: ChannelPoolOptions;
  readonly #channels = new ChannelSet();
  /** Last in, first out: the one just used is the warmest, the others age and can be let go. */
  readonly #idle: DataChannel[] = [];
  readonly #waiters = new Set<Waiter>();
  #asked = 0;
  #askedAt = 0;
  #peak = 0;
  #peakAt = 0;
  #usedAt = performance.now();
  /** What is closed now is counted at the end of the sweep. */
  #sweeping = false;
  #ended: CodedError | null = null;
  /** Who waits for the end of a channel. */
  readonly #onGone = new Map<DataChannel, () => void>();

  constructor(options: ChannelPoolOptions) {
    this.#options = options;
  }

  /** Channels in all, and how many of them are idle. */
  get counts(): { channels: number; idle: number; waiting: number } {
    return { channels: this.#channels.size, idle: this.#idle.length, waiting: this.#waiters.size };
  }

  /** Whether another channel may be attached. */
  get full(): boolean {
    return this.#room <= 0;
  }

  /** Takes in a channel that the peer has just opened. */
  add(channel: DataChannel): void {
    if (this.#ended !== null) return channel.close();
    if (channel.closed) return;
    if (this.#asked > 0) this.#asked--;
    this.#channels.add(channel);
    this.onIdle(channel);
  }

  /** An idle channel, after waiting for one when there is none. @throws {CodedError} TUNNEL_BUSY, SESSION_CLOSED */
  acquire(): MaybePromise<DataChannel> {
    if (this.#ended !== null) throw this.#ended;
    const channel = this.#takeIdle();
    this.#usedAt = performance.now();
    this.#notePeak();
    if (channel !== null) {
      this.#replenish();
      return channel;
    }
    if (this.#waiters.size >= this.#options.queue) {
      throw new CodedError("TUNNEL_BUSY", "Too many visitors wait for a channel of this tunnel");
    }
    return this.#wait();
  }

  /** The channel is free again: the longest waiting stream takes it. */
  onIdle(channel: DataChannel): void {
    if (this.#ended !== null) return channel.close();
    if (channel.closed) return;
    this.#idle.push(channel);
    this.#serveWaiters();
  }

  /** The channel's connection is gone. */
  onClosed(channel: DataChannel): void {
    this.#channels.delete(channel);
    this.#onGone.get(channel)?.();
    this.#onGone.delete(channel);
    const at = this.#idle.indexOf(channel);
    if (at >= 0) this.#idle.splice(at, 1);
    this.#replenish();
  }

  /** Once a second: looks after liveness, lets go of what is not needed, and asks for what is missing. */
  sweep(now: number): void {
    this.#sweeping = true;
    this.#channels.checkLiveness(now, this.#options);
    this.#serveWaiters(); // Some may have been heard of again.
    if (now - this.#peakAt > PEAK_HALF_LIFE_MS) {
      this.#peak = Math.max(this.#busy, this.#peak >> 1);
      this.#peakAt = now;
    }
    const spare = this.#idle.length - this.#wantedIdle(now) - MAX_POOL_REQUEST;
    this.#retire(Math.ceil(Math.max(0, spare) / FADE));
    if (this.#quiet(now)) this.#retire(Math.max(0, this.#idle.length - MIN_IDLE_QUIET));
    this.#sweeping = false;
    this.#replenish(now);
  }

  /** The control channel was resumed: some channels may not have survived, and what was asked for meanwhile was not heard. */
  resume(): void {
    this.#channels.pingAll();
    this.#asked = 0;
    this.#replenish();
  }

  /** Ends every idle channel without loss, and settles when they are gone: no stream will be opened any more. */
  async retireAll(): Promise<void> {
    const channels = [...this.#idle];
    this.#retire(channels.length);
    const gone = channels.map((channel) => new Promise<void>((resolve) => this.#onGone.set(channel, resolve)));
    using _deadline = new Deadline(RETIRE_TIMEOUT_MS, () => {
      for (const channel of channels) channel.close();
    });
    await Promise.all(gone);
  }

  /** The session has ended: resets every stream and refuses whoever waits. */
  end(error: CodedError): void {
    if (this.#ended !== null) return;
    this.#ended = error;
    for (const waiter of this.#waiters) waiter.fail(error);
    this.#waiters.clear();
    this.#channels.close();
  }

  /** Lets go of the longest idle channels. What was sent on them last may still be on its way, so they are not cut. */
  #retire(count: number): void {
    for (const channel of this.#idle.splice(0, count)) channel.retire();
  }

  get #room(): number {
    return MAX_CHANNELS_PER_SESSION - this.#channels.size - (this.#options.others?.() ?? 0);
  }

  get #busy(): number {
    return this.#channels.size - this.#idle.length;
  }

  #serveWaiters(): void {
    for (const waiter of this.#waiters) {
      const channel = this.#takeIdle();
      if (channel === null) return;
      this.#waiters.delete(waiter);
      waiter.give(channel);
    }
  }

  /** A channel that was heard of lately; one that may be dead is pinged and left to the sweep. */
  #takeIdle(): DataChannel | null {
    const tooOld = performance.now() - this.#options.silenceMs - this.#options.pongMs;
    for (let at = this.#idle.length - 1; at >= 0; at--) {
      const channel = this.#idle[at]!;
      if (channel.liveness.heardAt < tooOld) continue;
      this.#idle.splice(at, 1);
      return channel;
    }
    return null;
  }

  async #wait(): Promise<DataChannel> {
    const { promise, resolve, reject } = Promise.withResolvers<DataChannel>();
    const waiter: Waiter = { give: resolve, fail: reject };
    this.#waiters.add(waiter);
    using _deadline = new Deadline(this.#options.waitMs, () => {
      if (this.#waiters.delete(waiter)) waiter.fail(new CodedError("TUNNEL_BUSY"));
    });
    this.#replenish();
    return await promise;
  }

  #notePeak(): void {
    const busy = this.#busy + this.#waiters.size;
    if (busy > this.#peak) {
      this.#peak = busy;
      this.#peakAt = performance.now();
    }
  }

  #quiet(now: number): boolean {
    return now - this.#usedAt > QUIET_AFTER_MS && this.#waiters.size === 0;
  }

  #wantedIdle(now: number): number {
    if (this.#quiet(now)) return MIN_IDLE_QUIET;
    return Math.max(MIN_IDLE, Math.min(this.#peak >> 2, MAX_POOL_REQUEST));
  }

  #replenish(now: number = performance.now()): void {
    if (this.#ended !== null || this.#sweeping) return;
    if (now - this.#askedAt > ASK_AGAIN_MS) this.#asked = 0;
    const room = this.#room - this.#asked;
    if (this.#waiters.size > 0 && room <= 0) this.#options.reclaim();
    const wanted = this.#wantedIdle(now);
    const missing = wanted + this.#waiters.size - this.#idle.length - this.#asked;
    // Half of what is wanted may be missing before we ask, so that a busy pool asks seldom and for several at once.
    if (missing <= (this.#waiters.size > 0 ? 0 : wanted >> 1)) return;
    const count = Math.min(missing, room, MAX_POOL_REQUEST);
    if (count <= 0) return;
    this.#asked += count;
    this.#askedAt = now;
    this.#options.ask(count);
  }
}
