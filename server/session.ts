import { randomBytes, randomUUID } from "node:crypto";
import { ChannelPool } from "../net/channel_pool.ts";
import type { ControlChannel } from "../net/control_channel.ts";
import type { ChannelStream } from "../net/channel_stream.ts";
import { DataChannel } from "../net/data_channel.ts";
import { Deadline } from "../net/deadline.ts";
import type { Duplex } from "../net/duplex.ts";
import type { Logger } from "../net/log.ts";
import { Turnstile } from "../net/turnstile.ts";
import { CodedError, type ProtocolError } from "../protocol/errors.ts";
import { MAX_CHANNELS_PER_SESSION } from "../protocol/limits.ts";
import type { ControlMessage, Hello } from "../protocol/message.ts";
import type { StreamConnect, StreamOpen } from "../protocol/stream_message.ts";
import { IncomingChannels } from "./incoming_channels.ts";
import type { ServerLimits } from "./limits.ts";
import { Publisher, type PublisherParts } from "./publisher.ts";
import type { Tunnel } from "./state/tunnels.ts";

/** A ping that is so many times later than it should be is more than a delay of the network; after three the channel is cut. */
const DOUBT_FACTOR = 1.5;

/** What a session is made of. */
export interface SessionOptions {
  tunnel: Tunnel;
  hello: Hello;
  /** Address of the client. */
  from: string;
  limits: Readonly<ServerLimits>;
  log: Logger;
  publishing: PublisherParts;
  /** Answers a stream that the client opens into the mesh. @default it is refused: there is no mesh */
  onConnect?: (stream: ChannelStream, connect: StreamConnect, session: Session) => Promise<void>;
  /** The session has ended for good. */
  onEnd: (session: Session, error: CodedError) => void;
}

/** One live connection of a tunnel: its control channel, its data channels, and what it publishes. */
export class Session {
  readonly id: string = randomUUID();
  /** Proves that a data channel belongs to this session; in memory only. */
  readonly secret: string = randomBytes(32).toString("base64url");
  readonly since: Date = new Date();
  readonly role: Hello["role"];
  readonly from: string;
  readonly hello: Hello;
  /** Channels on which the server opens streams. */
  readonly pool: ChannelPool;
  /** Channels on which the client does. */
  readonly incoming: IncomingChannels;
  readonly publisher: Publisher;
  tunnel: Tunnel;
  /** How often its client was told to ping, ms. */
  heartbeatMs: number;
  /** The client said that it is about to stop: no new work goes to it. */
  draining = false;
  readonly #options: SessionOptions;
  readonly #opens: Turnstile;
  #control: ControlChannel | null = null;
  #resumeDeadline: Deadline | null = null;
  #streams = 0;
  #ended: Promise<void> | null = null;
  #error: CodedError | null = null;
  #goodbye: Promise<void> = Promise.resolve();

  constructor(options: SessionOptions) {
    const { limits } = options;
    this.#options = options;
    this.tunnel = options.tunnel;
    this.hello = options.hello;
    this.role = options.hello.role;
    this.from = options.from;
    this.heartbeatMs = limits.heartbeatMs;
    this.#opens = new Turnstile({
      perSecond: limits.opensPerSecond,
      waitMs: limits.channelWaitMs,
      queue: limits.channelQueue,
      refusal: () => new CodedError("TUNNEL_BUSY", `The tunnel opens ${limits.opensPerSecond} streams a second`),
    });
    this.publisher = new Publisher(this, options.publishing);
    this.pool = new ChannelPool({
      ask: (count) => void this.send({ kind: "pool", count }),
      reclaim: () => this.publisher.reclaimAttached(),
      waitMs: limits.channelWaitMs,
      queue: limits.channelQueue,
      silenceMs: limits.channelSilenceMs,
      pongMs: limits.channelPongMs,
      others: () => this.incoming.size,
    });
    this.incoming = new IncomingChannels({
      limits,
      answer: (stream, connect) => this.#answer(stream, connect),
      onClosed: (violation) => this.#onViolation(violation),
    });
  }

  /** The control channel, unless it is lost and may yet be resumed. */
  get control(): ControlChannel | null {
    return this.#control;
  }

  /** Nothing was heard of the client for longer than between two of its pings: what it can do is better asked of another. */
  get doubtful(): boolean {
    return this.#control === null || performance.now() - this.#control.heardAt > DOUBT_FACTOR * this.heartbeatMs;
  }

  /** Streams under way that the server opened. */
  get streams(): number {
    return this.#streams;
  }

  get ended(): boolean {
    return this.#error !== null;
  }

  /** Takes a new control channel, the first or after a loss; an old one that is half open is cut. */
  attachControl(control: ControlChannel): void {
    this.#control?.reset();
    this.#control = control;
    this.#resumeDeadline?.[Symbol.dispose]();
    this.#resumeDeadline = null;
  }

  /** The control channel is gone; unless it is resumed in time, the session ends. */
  detachControl(control: ControlChannel): void {
    if (this.#control !== control || this.#error !== null) return;
    this.#control = null;
    this.#options.log.info("control lost", { tunnel: this.tunnel.id, session: this.id });
    this.#resumeDeadline = new Deadline(this.#options.limits.resumeMs, () => {
      this.end(new CodedError("SESSION_CLOSED", "The client did not come back in time"));
    });
  }

  /**
   * Sends a control message; one that cannot be sent is dropped, since the state is told anew after a resume. Settles when it has gone
   * out or was dropped, and never rejects.
   */
  async send(message: ControlMessage): Promise<void> {
    try {
      await this.#control?.send(message);
    } catch (error) {
      this.#options.log.debug("control message lost", { session: this.id, kind: message.kind, reason: String(error) });
    }
  }

  /**
   * Takes in an upgraded data channel, on which streams are opened by the server unless told otherwise.
   * @throws {CodedError} LIMIT_EXCEEDED, SESSION_CLOSED, SERVER_DRAINING
   */
  attachChannel(
    transport: Duplex,
    initial: Uint8Array,
    options: { secure: boolean; opener?: "server" | "client" },
  ): void {
    this.assertRoom();
    if (options.opener === "client") return this.incoming.attach(transport, initial, options);
    this.pool.add(
      new DataChannel(transport, {
        client: false,
        opener: true,
        secure: options.secure,
        initial,
        onIdle: (channel) => this.pool.onIdle(channel),
        onClosed: (channel, violation) => this.#onChannelClosed(channel, violation),
      }),
    );
  }

  /** Whether another data channel may come. @throws {CodedError} LIMIT_EXCEEDED, SESSION_CLOSED */
  assertRoom(): void {
    if (this.#error !== null) throw new CodedError("SESSION_CLOSED");
    if (this.pool.full) {
      throw new CodedError("LIMIT_EXCEEDED", `A session has at most ${MAX_CHANNELS_PER_SESSION} data channels`);
    }
  }

  /**
   * Opens a stream to the client; bytes may be written at once, the first read throws when the client refuses it.
   * @throws {CodedError} TUNNEL_OFFLINE, TUNNEL_BUSY, LIMIT_EXCEEDED
   */
  async open(message: Omit<StreamOpen, "kind">): Promise<ChannelStream> {
    const { limits } = this.#options;
    if (this.#error !== null || this.draining) throw new CodedError("TUNNEL_OFFLINE");
    if (this.#streams >= limits.streamsPerSession) {
      throw new CodedError("TUNNEL_BUSY", `The tunnel has ${limits.streamsPerSession} streams under way`);
    }
    this.#streams++;
    try {
      const turn = this.#opens.pass();
      if (turn instanceof Promise) await turn;
      let acquired = this.pool.acquire();
      let channel = acquired instanceof Promise ? await acquired : acquired;
      // One that was given to a waiting stream may be lost before the stream's turn comes.
      while (channel.closed) {
        acquired = this.pool.acquire();
        channel = acquired instanceof Promise ? await acquired : acquired;
      }
      return this.#openOn(channel, message);
    } catch (error) {
      this.#streams--;
      throw error;
    }
  }

  /** The control channel was resumed: some data channels may not have survived. */
  resume(): void {
    this.pool.resume();
    this.incoming.pingAll();
  }

  /** Once a second: looks after its data channels. */
  sweep(now: number): void {
    this.pool.sweep(now);
    this.incoming.sweep(now);
  }

  /** Ends the session: resets every stream and withdraws what it published; the goodbye is said meanwhile. Idempotent. */
  end(error: CodedError, options: { final?: boolean } = {}): Promise<void> {
    this.#ended ??= this.#end(error, options.final ?? false);
    return this.#ended;
  }

  /** Settles when the goodbye of a session that has ended was taken, or the client does not take it. */
  get goodbye(): Promise<void> {
    return this.#goodbye;
  }

  #openOn(channel: DataChannel, message: Omit<StreamOpen, "kind">): ChannelStream {
    const stream = channel.open(message);
    const deadline = new Deadline(this.#options.limits.openAnswerMs, () => {
      if (!stream.answered) stream.reset(new CodedError("TARGET_TIMEOUT", "The client did not answer in time"));
    });
    stream.closed.then(() => {
      deadline[Symbol.dispose]();
      this.#streams--;
    });
    return stream;
  }

  #onChannelClosed(channel: DataChannel, violation: ProtocolError | undefined): void {
    this.pool.onClosed(channel);
    this.#onViolation(violation);
  }

  #onViolation(violation: ProtocolError | undefined): void {
    if (violation !== undefined) this.end(violation);
  }

  async #answer(stream: ChannelStream, connect: StreamConnect): Promise<void> {
    const { onConnect } = this.#options;
    if (onConnect === undefined) throw new CodedError("MESH_DISABLED");
    await onConnect(stream, connect, this);
  }

  async #end(error: CodedError, final: boolean): Promise<void> {
    this.#error = error;
    this.#options.onEnd(this, error);
    this.#resumeDeadline?.[Symbol.dispose]();
    const control = this.#control;
    this.#control = null;
    const withdrawn = this.publisher.withdrawAll();
    this.#opens.end(error);
    this.pool.end(error);
    this.incoming.end(error);
    if (control !== null) this.#goodbye = sayGoodbye(control, error, final);
    await withdrawn;
  }
}

async function sayGoodbye(control: ControlChannel, { code, message }: CodedError, final: boolean): Promise<void> {
  control.send({ kind: "bye", code, message: message.slice(0, 1024), final }).catch(() => {
    // The client is gone; there is nobody to say goodbye to.
  });
  await control.close();
}
