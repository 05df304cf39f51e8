import type { DataChannel } from "./data_channel.ts";
import { Deadline } from "./deadline.ts";
import type { LivenessLimits } from "./liveness.ts";

/** A peer that does not close a retired channel in this time has lost it. */
const RETIRE_TIMEOUT_MS = 2_000;

/** The data channels of one session on which the same side opens the streams. */
export class ChannelSet implements Iterable<DataChannel> {
  readonly #channels = new Set<DataChannel>();
  #onEmpty: () => void = () => {};

  get size(): number {
    return this.#channels.size;
  }

  [Symbol.iterator](): Iterator<DataChannel> {
    return this.#channels.values();
  }

  /** Takes in a channel, unless it has come to its end meanwhile. */
  add(channel: DataChannel): void {
    if (!channel.closed) this.#channels.add(channel);
  }

  /** Its connection is gone. */
  delete(channel: DataChannel): void {
    this.#channels.delete(channel);
    if (this.#channels.size === 0) this.#onEmpty();
  }

  /** Once a second: pings what was silent, closes what stays silent. */
  checkLiveness(now: number, limits: LivenessLimits): void {
    for (const channel of [...this.#channels]) channel.checkLiveness(now, limits);
  }

  /** The control channel was resumed: finds out which channels survived. */
  pingAll(): void {
    const now = performance.now();
    for (const channel of this.#channels) channel.ping(now);
  }

  /** Ends every idle channel without loss, and settles as `empty()` does. */
  async retire(): Promise<void> {
    for (const channel of this.#channels) channel.retire();
    await this.empty();
  }

  /** Settles when none is left, or the peer has had its time to close those that were retired. */
  async empty(): Promise<void> {
    if (this.#channels.size === 0) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#onEmpty = resolve;
    using _deadline = new Deadline(RETIRE_TIMEOUT_MS, resolve);
    await promise;
  }

  /** Closes all; running streams are reset. */
  close(): void {
    for (const channel of [...this.#channels]) channel.close();
  }
}
