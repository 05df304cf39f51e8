import type { ChannelStream } from "../net/channel_stream.ts";
import { DataChannel } from "../net/data_channel.ts";
import { Deadline } from "../net/deadline.ts";
import type { Duplex } from "../net/duplex.ts";
import { Turnstile } from "../net/turnstile.ts";
import { CodedError, type ProtocolError, toCodedError } from "../protocol/errors.ts";
import type { StreamConnect } from "../protocol/stream_message.ts";
import type { ServerLimits } from "./limits.ts";

/** A client that does not close a channel in this time has lost it. */
const RETIRE_TIMEOUT_MS = 2_000;

/** What the channels need. */
export interface IncomingChannelsOptions {
  readonly limits: Readonly<ServerLimits>;
  /** Answers a stream, until both its directions have ended. What it throws before the answer is told to the client. */
  readonly answer: (stream: ChannelStream, connect: StreamConnect) => Promise<void>;
  /** A channel is gone; `violation` is set when the client broke the protocol. */
  readonly onClosed: (violation: ProtocolError | undefined) => void;
}

/** The data channels of one session on which its client opens streams into the mesh. */
export class IncomingChannels {
  readonly #options: IncomingChannelsOptions;
  readonly #channels = new Set<DataChannel>();
  readonly #streams = new Set<Promise<void>>();
  readonly #opens: Turnstile;
  #draining = false;
  #retiring = false;
  #onEmpty: () => void = () => {};

  constructor(options: IncomingChannelsOptions) {
    this.#options = options;
    const { opensPerSecond, channelWaitMs, channelQueue } = options.limits;
    this.#opens = new Turnstile({
      perSecond: opensPerSecond,
      waitMs: channelWaitMs,
      queue: channelQueue,
      refusal: () => new CodedError("TUNNEL_BUSY", `A client opens at most ${opensPerSecond} streams a second`),
    });
  }

  /** Channels in all. */
  get size(): number {
    return this.#channels.size;
  }

  /** Channels in all, those without a stream, and streams under way. */
  get counts(): { channels: number; idle: number; streams: number } {
    let idle = 0;
    for (const channel of this.#channels) if (!channel.busy) idle++;
    return { channels: this.#channels.size, idle, streams: this.#streams.size };
  }

  /** Takes in an upgraded channel. @throws {CodedError} SERVER_DRAINING */
  attach(transport: Duplex, initial: Uint8Array, { secure }: { secure: boolean }): void {
    if (this.#retiring) throw new CodedError("SERVER_DRAINING");
    const channel = new DataChannel(transport, {
      ...{ client: false, opener: false, secure, initial },
      onConnect: (stream, connect) => this.#serve(stream, connect),
      onClosed: (closed, violation) => {
        this.#channels.delete(closed);
        if (this.#channels.size === 0) this.#onEmpty();
        this.#options.onClosed(violation);
      },
    });
    if (!channel.closed) this.#channels.add(channel);
  }

  /** Once a second: pings what was silent, closes what stays silent. */
  sweep(now: number): void {
    const { channelSilenceMs: silenceMs, channelPongMs: pongMs } = this.#options.limits;
    for (const channel of [...this.#channels]) channel.checkLiveness(now, { silenceMs, pongMs });
  }

  /** The control channel was resumed: finds out which channels survived. */
  pingAll(): void {
    const now = performance.now();
    for (const channel of this.#channels) channel.ping(now);
  }

  /** Refuses new streams; those under way may end. */
  drain(): void {
    this.#draining = true;
  }

  /** Settles when no stream is under way. */
  async idle(): Promise<void> {
    while (this.#streams.size > 0) await Promise.all(this.#streams);
  }

  /** Ends every idle channel without loss, and settles when all are gone. */
  async retire(): Promise<void> {
    this.#retiring = true;
    for (const channel of this.#channels) channel.retire();
    if (this.#channels.size === 0) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#onEmpty = resolve;
    using _deadline = new Deadline(RETIRE_TIMEOUT_MS, resolve);
    await promise;
  }

  /** The session has ended: resets every stream. */
  end(error: CodedError): void {
    this.#draining = true;
    this.#opens.end(error);
    for (const channel of [...this.#channels]) channel.close();
  }

  async #serve(stream: ChannelStream, connect: StreamConnect): Promise<void> {
    const served = this.#answer(stream, connect).finally(() => this.#streams.delete(served));
    this.#streams.add(served);
    await served;
  }

  async #answer(stream: ChannelStream, connect: StreamConnect): Promise<void> {
    try {
      this.#assertRoom();
      const turn = this.#opens.pass();
      if (turn instanceof Promise) await turn;
      await this.#options.answer(stream, connect);
    } catch (error) {
      const coded = toCodedError(error);
      if (stream.answered) stream.reset(coded);
      else await stream.refuse(coded);
    }
  }

  #assertRoom(): void {
    if (this.#draining) throw new CodedError("SERVER_DRAINING");
    const { streamsPerSession } = this.#options.limits;
    if (this.#streams.size < streamsPerSession) return;
    throw new CodedError("TUNNEL_BUSY", `A client has at most ${streamsPerSession} streams under way`);
  }
}
