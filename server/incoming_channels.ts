import { ChannelSet } from "../net/channel_set.ts";
import type { ChannelStream } from "../net/channel_stream.ts";
import { DataChannel } from "../net/data_channel.ts";
import type { Duplex } from "../net/duplex.ts";
import { Running } from "../net/running.ts";
import { Turnstile } from "../net/turnstile.ts";
import { CodedError, type ProtocolError, toCodedError } from "../protocol/errors.ts";
import type { StreamConnect } from "../protocol/stream_message.ts";
import type { ServerLimits } from "./limits.ts";

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
  readonly #channels = new ChannelSet();
  readonly #streams = new Running();
  readonly #opens: Turnstile;
  #draining = false;
  #retiring = false;

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
      onConnect: (stream, connect) => this.#streams.add(this.#answer(stream, connect)),
      onClosed: (closed, violation) => {
        this.#channels.delete(closed);
        this.#options.onClosed(violation);
      },
    });
    this.#channels.add(channel);
  }

  /** Once a second: pings what was silent, closes what stays silent. */
  sweep(now: number): void {
    const { channelSilenceMs: silenceMs, channelPongMs: pongMs } = this.#options.limits;
    this.#channels.checkLiveness(now, { silenceMs, pongMs });
  }

  /** The control channel was resumed: finds out which channels survived. */
  pingAll(): void {
    this.#channels.pingAll();
  }

  /** Refuses new streams; those under way may end. */
  drain(): void {
    this.#draining = true;
  }

  /** Settles when no stream is under way. */
  idle(): Promise<void> {
    return this.#streams.idle();
  }

  /** Ends every idle channel without loss, and settles when all are gone. */
  async retire(): Promise<void> {
    this.#retiring = true;
    await this.#channels.retire();
  }

  /** The session has ended: resets every stream. */
  end(error: CodedError): void {
    this.#draining = true;
    this.#opens.end(error);
    this.#channels.close();
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
