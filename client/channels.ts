import type { ChannelStream } from "../net/channel_stream.ts";
import { DataChannel } from "../net/data_channel.ts";
import { Deadline } from "../net/deadline.ts";
import type { Duplex } from "../net/duplex.ts";
import type { Logger } from "../net/log.ts";
import { requestUpgrade } from "../net/upgrade.ts";
import { toCodedError } from "../protocol/errors.ts";
import { DOORS, MAX_CHANNELS_PER_SESSION } from "../protocol/limits.ts";
import type { StreamOpen } from "../protocol/stream_message.ts";
import { dialServer } from "./dial_server.ts";
import type { ResolvedServerAddress } from "./server_address.ts";

/** Dials at once: enough to fill a pool quickly, too few to look like a flood. */
const PARALLEL_DIALS = 8;
/** The server answers an upgrade within this time: a dial that hangs would keep its place among the parallel ones. */
const UPGRADE_TIMEOUT_MS = 10_000;
/** A server that does not close a retired channel in this time has lost it. */
const RETIRE_TIMEOUT_MS = 2_000;
/** A channel silent for so long is pinged, and closed when it stays silent. */
const LIVENESS = { silenceMs: 25_000, pongMs: 10_000 } as const;

/** What the data channels of a session need. */
export interface ChannelsOptions {
  address: ResolvedServerAddress;
  /** `id.secret` of the session. */
  credential: string;
  onStream: (stream: ChannelStream, open: StreamOpen) => Promise<void>;
  log: Logger;
  /** @default 10_000 */
  upgradeMs?: number;
}

/** The data channels of one session at the client: dials as many as the server asks for. */
export class Channels {
  readonly #options: ChannelsOptions;
  readonly #channels = new Set<DataChannel>();
  readonly #streams = new Set<Promise<void>>();
  readonly #ending = new AbortController();
  #retiring = false;
  #onEmpty: () => void = () => {};
  #wanted = 0;
  #dialling = 0;
  readonly #dials = new Set<Promise<void>>();

  constructor(options: ChannelsOptions) {
    this.#options = options;
  }

  /** Channels that are open, and streams on them. */
  get counts(): { channels: number; streams: number } {
    return { channels: this.#channels.size, streams: this.#streams.size };
  }

  /** Opens that many more. */
  open(count: number): void {
    if (this.#retiring) return;
    const room = MAX_CHANNELS_PER_SESSION - this.#channels.size - this.#dialling - this.#wanted;
    this.#wanted += Math.min(count, Math.max(0, room));
    this.#dialMore();
  }

  /** Once a second: pings what was silent, closes what stays silent. */
  sweep(now: number): void {
    for (const channel of [...this.#channels]) channel.checkLiveness(now, LIVENESS);
  }

  /** The control channel was resumed: finds out which channels survived. */
  pingAll(): void {
    const now = performance.now();
    for (const channel of this.#channels) channel.ping(now);
  }

  /** Settles when no stream is under way. */
  async idle(): Promise<void> {
    while (this.#streams.size > 0) await Promise.all(this.#streams);
  }

  /** Ends every channel without loss: what visitors were sent last is still on its way. Takes no new streams. */
  async retire(): Promise<void> {
    this.#wanted = 0;
    this.#retiring = true;
    for (const channel of this.#channels) channel.retire();
    if (this.#channels.size === 0) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#onEmpty = resolve;
    using _deadline = new Deadline(RETIRE_TIMEOUT_MS, resolve);
    await promise;
  }

  /** Closes everything; running streams are reset. */
  async end(): Promise<void> {
    this.#wanted = 0;
    this.#ending.abort();
    for (const channel of [...this.#channels]) channel.close();
    await Promise.all(this.#dials);
  }

  #dialMore(): void {
    while (this.#wanted > 0 && this.#dialling < PARALLEL_DIALS && !this.#ending.signal.aborted) {
      this.#wanted--;
      this.#dialling++;
      const dial = this.#dial().finally(() => {
        this.#dialling--;
        this.#dials.delete(dial);
        this.#dialMore();
      });
      this.#dials.add(dial);
    }
  }

  /** A dial that fails is not repeated here: the server asks again while it needs more. */
  async #dial(): Promise<void> {
    const { address, log, onStream } = this.#options;
    const { signal } = this.#ending;
    try {
      const duplex = await dialServer(address, signal);
      const initial = await this.#upgrade(duplex);
      if (signal.aborted || this.#retiring) return duplex.reset();
      const channel = new DataChannel(duplex, {
        client: true,
        opener: false,
        secure: true,
        initial,
        onStream: (stream, open) => {
          const served = onStream(stream, open).finally(() => this.#streams.delete(served));
          this.#streams.add(served);
          return served;
        },
        onClosed: (closed, violation) => {
          this.#channels.delete(closed);
          if (this.#channels.size === 0) this.#onEmpty();
          if (violation !== undefined) log.error("server broke the protocol", { reason: violation.message });
        },
      });
      if (!channel.closed) this.#channels.add(channel);
    } catch (error) {
      if (signal.aborted) return;
      const { code, message } = toCodedError(error);
      log.warn("data channel failed", { code, reason: message });
    }
  }
  async #upgrade(duplex: Duplex): Promise<Uint8Array> {
    const { address, credential, upgradeMs = UPGRADE_TIMEOUT_MS } = this.#options;
    const { signal } = this.#ending;
    const abort = (): void => duplex.reset();
    signal.addEventListener("abort", abort, { once: true });
    using _deadline = new Deadline(upgradeMs, () => duplex.reset(new Error("no answer in time")));
    try {
      return await requestUpgrade(duplex, {
        host: address.sni,
        path: `${DOORS.data}?opener=server`,
        bearer: credential,
      });
    } catch (error) {
      duplex.reset();
      throw error;
    } finally {
      signal.removeEventListener("abort", abort);
    }
  }
}
