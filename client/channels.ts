import { ChannelSet } from "../net/channel_set.ts";
import type { ChannelStream } from "../net/channel_stream.ts";
import { DataChannel } from "../net/data_channel.ts";
import type { Logger } from "../net/log.ts";
import { Running } from "../net/running.ts";
import { toCodedError } from "../protocol/errors.ts";
import { MAX_CHANNELS_PER_SESSION } from "../protocol/limits.ts";
import type { StreamOpen } from "../protocol/stream_message.ts";
import { type ChannelDial, dialChannel, LIVENESS, PARALLEL_DIALS } from "./dial_channel.ts";

/** What the data channels of a session need. */
export interface ChannelsOptions extends ChannelDial {
  onStream: (stream: ChannelStream, open: StreamOpen) => Promise<void>;
  log: Logger;
}

/** The data channels of one session on which the server opens streams: dials as many as the server asks for. */
export class Channels {
  readonly #options: ChannelsOptions;
  readonly #channels = new ChannelSet();
  readonly #streams = new Running();
  readonly #ending = new AbortController();
  #retiring = false;
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
    this.#channels.checkLiveness(now, LIVENESS);
  }

  /** The control channel was resumed: finds out which channels survived. */
  pingAll(): void {
    this.#channels.pingAll();
  }

  /** Settles when no stream is under way. */
  idle(): Promise<void> {
    return this.#streams.idle();
  }

  /** Ends every channel without loss: what visitors were sent last is still on its way. Takes no new streams. */
  async retire(): Promise<void> {
    this.#wanted = 0;
    this.#retiring = true;
    await this.#channels.retire();
  }

  /** Closes everything; running streams are reset. */
  async end(): Promise<void> {
    this.#wanted = 0;
    this.#ending.abort();
    this.#channels.close();
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
    const { log, onStream } = this.#options;
    const { signal } = this.#ending;
    try {
      const { duplex, initial } = await dialChannel(this.#options, { opener: "server", signal });
      if (signal.aborted || this.#retiring) return duplex.reset();
      const channel = new DataChannel(duplex, {
        client: true,
        opener: false,
        secure: true,
        initial,
        onStream: (stream, open) => this.#streams.add(onStream(stream, open)),
        onClosed: (closed, violation) => {
          this.#channels.delete(closed);
          if (violation !== undefined) log.error("server broke the protocol", { reason: violation.message });
        },
      });
      this.#channels.add(channel);
    } catch (error) {
      if (signal.aborted) return;
      const { code, message } = toCodedError(error);
      log.warn("data channel failed", { code, reason: message });
    }
  }
}
