import type { Destination } from "../protocol/destination.ts";
import { type CodedError, ProtocolError, StreamResetError } from "../protocol/errors.ts";
import { FRAME_HEADER_ROOM_BYTES, OPCODE } from "../protocol/frame.ts";
import { StreamDecoder } from "../protocol/stream_decoder.ts";
import type { StreamConnect, StreamMessage, StreamOpen } from "../protocol/stream_message.ts";
import { ChannelStream, type StreamCarrier } from "./channel_stream.ts";
import { Deadline } from "./deadline.ts";
import type { Duplex, MaybePromise } from "./duplex.ts";
import { FrameEncoder } from "./frame_encoder.ts";
import { LentChunks } from "./lent_chunks.ts";
import { Liveness, type LivenessLimits } from "./liveness.ts";
import { PingPong } from "./ping_pong.ts";

/** An `rst` that cannot be written in this time is not waited for: the connection closes, which says the same. */
const RESET_WRITE_TIMEOUT_MS = 5_000;

const ENCODER = new TextEncoder();

/** What a channel is, fixed at the dial. */
export interface DataChannelOptions {
  /** Whether we are the client of the WebSocket, whose frames are masked. */
  client: boolean;
  /** Whether streams on it are opened by us: a server opens them with `open`, a client with `connect`. */
  opener: boolean;
  /** Whether TLS is underneath; without it a client masks with a random key. */
  secure: boolean;
  /** Bytes that came behind the upgrade. */
  initial?: Uint8Array;
  /** Answers a stream that the server opened to us; runs until the stream has ended. */
  onStream?: (stream: ChannelStream, open: StreamOpen) => Promise<void>;
  /** The same for a stream that the client opened to us. */
  onConnect?: (stream: ChannelStream, connect: StreamConnect) => Promise<void>;
  /** The channel is free again. */
  onIdle?: (channel: DataChannel) => void;
  /** The connection is gone; `violation` is set when the peer broke the protocol. */
  onClosed?: (channel: DataChannel, violation?: ProtocolError) => void;
}

/** One pooled WebSocket, carrying one stream at a time. */
export class DataChannel implements StreamCarrier {
  readonly liveness: Liveness = new Liveness();
  readonly #transport: Duplex;
  readonly #options: DataChannelOptions;
  readonly #frames: FrameEncoder;
  readonly #decoder: StreamDecoder;
  readonly #pingPong: PingPong;
  readonly #lent: LentChunks;
  #stream: ChannelStream | null = null;
  #closed = false;
  /** The read of the idle channel. */
  #parked: Promise<void> | null = null;
  /** What arrived for a stream that was opened while the idle channel was already reading. */
  #kept: Uint8Array | StreamMessage | null = null;
  /** The stream was reset: what still comes is discarded until the peer closes. */
  #aborted = false;

  /** The transport must take a write while another one waits, as sockets do: a pong may come between the frames of a stream. */
  constructor(transport: Duplex, options: DataChannelOptions) {
    this.#transport = transport;
    this.#options = options;
    this.#lent = new LentChunks(transport);
    this.#frames = new FrameEncoder(options);
    this.#pingPong = new PingPong({
      write: (opcode, payload) => this.#write(this.#frames.frame(opcode, payload)),
      onFailed: () => this.close(),
    });
    this.#decoder = new StreamDecoder({
      masked: !options.client,
      onControl: (opcode, payload) => this.#pingPong.take(opcode, payload),
    });
    if (options.initial !== undefined) this.#decoder.push(options.initial);
    transport.closed.then(() => this.#onClosed());
    this.#wait();
  }

  get closed(): boolean {
    return this.#closed;
  }

  /** Whether something has come that was not read. */
  get ready(): boolean {
    return this.#parked === null && (this.#decoder.hasBytes || this.#transport.ready === true);
  }

  /**
   * What is in front of received bytes may be written to: the header of their own frame, which was read, or what the transport keeps
   * free. A client's frames have the longer headers, so that this holds for the server alone.
   */
  get headroom(): number {
    const { headroom = 0 } = this.#transport;
    return this.#options.client || headroom < FRAME_HEADER_ROOM_BYTES ? 0 : FRAME_HEADER_ROOM_BYTES;
  }

  /** Whether `sendAll` may be used. */
  get joins(): boolean {
    return this.#transport.writeAll !== undefined && (!this.#options.client || this.#options.secure);
  }

  /** Whether a stream is on it (or was, and has not ended both ways). */
  get busy(): boolean {
    return this.#stream !== null;
  }

  /**
   * Opens a stream to the client; bytes may be written at once. The channel must be idle.
   * The peer's refusal is thrown by the stream's `opened()` or first `read()`.
   */
  open(message: Omit<StreamOpen, "kind">): ChannelStream {
    return this.#open({ kind: "open", ...message });
  }

  /** Opens a stream into the mesh, in the same way. */
  connect(destination: Destination): ChannelStream {
    return this.#open({ kind: "connect", destination });
  }

  /** Pings a peer that was silent, and closes when it stays so: as {@link Liveness.judge} decides. */
  checkLiveness(now: number, limits: LivenessLimits): void {
    if (this.#closed) return;
    const verdict = this.liveness.judge(now, limits);
    if (verdict === "gone") this.close();
    else if (verdict === "ping") this.ping(now);
  }

  /** Sends a ping now; whether it is answered is judged by {@link checkLiveness}. */
  ping(now: number): void {
    this.liveness.onPing(now);
    this.#pingPong.ping();
  }

  /** Ends an idle channel without loss: the peer closes it when it has taken everything that was sent on it. */
  retire(): void {
    if (this.#closed || this.#stream !== null) return;
    Promise.resolve(this.#transport.closeWrite()).catch(() => this.close());
  }

  /** Ends the connection; a running stream is reset. */
  close(): void {
    if (this.#closed) return;
    this.#transport.reset();
    this.#onClosed();
  }

  // What follows is for the stream on the channel.

  /** Sends bytes, at most {@link MAX_WRITE_BYTES}, as binary frames in one write; into `headroom` bytes in front the header may go. */
  sendBytes(bytes: Uint8Array, headroom: number): MaybePromise<void> {
    return this.#write(this.#frames.data(bytes, headroom));
  }

  /** Sends pieces of at most {@link JOIN_BYTES} in all as one frame in one write; settles when none of them is needed any more. */
  sendAll(pieces: readonly Uint8Array[], length: number): MaybePromise<void> {
    if (this.#closed) throw new StreamResetError("Cannot write as the channel is closed");
    this.liveness.wrote = true;
    const header = this.#frames.dataHeader(length);
    return this.#transport.writeAll?.([header, ...pieces], header.length + length);
  }

  /** Sends a stream message. */
  sendMessage(message: StreamMessage): MaybePromise<void> {
    return this.#write(this.#frames.frame(OPCODE.text, ENCODER.encode(JSON.stringify(message))));
  }

  /**
   * The next bytes or message of the peer's stream; or a promise, after which there may be one and `receive()` is called again.
   * (A promise of the event itself would cost every wait a few promises more.)
   */
  receive(): Uint8Array | StreamMessage | Promise<void> {
    if (this.#parked !== null) return this.#unpark(this.#parked);
    const kept = this.#kept;
    if (kept !== null) {
      this.#kept = null;
      return kept;
    }
    for (;;) {
      const event = this.#decode();
      if (event !== null) return event;
      const chunk = this.#transport.read();
      if (chunk instanceof Promise) {
        this.liveness.listening = true;
        return chunk.then(this.#feed);
      }
      this.#feed(chunk);
    }
  }

  /** Bytes that `receive()` gave are not needed any more. */
  reuse(bytes: Uint8Array): void {
    this.#lent.giveBack(bytes);
  }

  /** The peer's direction has ended and ours has not: nobody reads now, but pings are to be answered and a cut is to be seen. */
  watch(): void {
    if (this.#closed || this.#aborted) return;
    // Meant for the next stream: there is none before this one has ended.
    this.#kept = this.#readAhead();
  }

  /** The stream has ended cleanly both ways: the channel may carry the next one. */
  release(stream: ChannelStream): void {
    if (this.#stream !== stream) return;
    this.#stream = null;
    if (this.#closed || this.#aborted) return;
    this.#goOn();
    // What had come already may have been the next stream, or the end.
    if (!this.#closed && this.#stream === null) this.#options.onIdle?.(this);
  }

  /** Tells the peer that the stream is reset, by an `rst` if there is an error to tell, and closes the connection. */
  abort(error: CodedError | null): void {
    if (this.#closed || this.#aborted) return;
    this.#aborted = true;
    const deadline = new Deadline(RESET_WRITE_TIMEOUT_MS, () => this.close());
    this.#transport.closed.then(() => deadline[Symbol.dispose]());
    this.#finishAbort(error);
  }

  /** The peer broke the protocol: whoever owns the channel ends the session. */
  violate(error: unknown): void {
    this.#transport.reset(error);
    this.#onClosed(error instanceof ProtocolError ? error : undefined);
  }

  #open(message: StreamOpen | StreamConnect): ChannelStream {
    if (this.#closed) throw new StreamResetError("Cannot open a stream as the channel is closed");
    if (this.#stream !== null) throw new Error("Cannot open a stream as the channel carries one");
    const stream = new ChannelStream(this, { role: "opener" });
    this.#stream = stream;
    this.#post(message);
    return stream;
  }

  /** Reads on until the peer, having seen the rst, closes: to close on unread bytes could destroy the rst on its way. */
  async #finishAbort(error: CodedError | null): Promise<void> {
    try {
      if (error !== null) {
        await this.sendMessage({ kind: "rst", code: error.code, message: error.message.slice(0, 1024) });
      }
      await this.#transport.closeWrite();
      if (this.liveness.listening) return; // Who waits for bytes already discards them from now on, and closes at the end.
      while (await this.#transport.read() !== null);
    } catch {
      // The connection is gone, which says the same as the rst.
    }
    this.close();
  }

  /** Between streams: answers pings, notices the end, and takes the peer's next stream. What had come already is dealt with at once. */
  #wait(): void {
    const event = this.#readAhead();
    if (event !== null) this.#answer(event);
  }

  /** After a stream: a read that began while it was half closed goes on, and what it has found was meant for now. */
  #goOn(): void {
    const event = this.#kept;
    if (event === null) {
      if (this.#parked === null) this.#wait();
      return;
    }
    this.#kept = null;
    this.#parked = null;
    this.#answer(event);
  }

  /** Reads while no stream does: gives what has come already, or `null` when a read is under way or the channel has failed. */
  #readAhead(): Uint8Array | StreamMessage | null {
    try {
      for (;;) {
        const event = this.#decode();
        if (event !== null) return event;
        const chunk = this.#transport.read();
        if (chunk instanceof Promise) {
          this.#parked = this.#park(chunk);
          return null;
        }
        this.#feed(chunk);
      }
    } catch (error) {
      this.violate(error);
      return null;
    }
  }

  async #park(first: Promise<Uint8Array | null>): Promise<void> {
    try {
      const event = await this.#receiveLater(first);
      if (this.#stream === null) return this.#answer(event);
      // Our own stream began meanwhile, and this is for it; or one that is half closed is not the last.
      this.#kept = event;
    } catch (error) {
      this.violate(error);
    }
  }

  /** What comes while no stream is open may only be the peer's next one. */
  #answer(event: Uint8Array | StreamMessage): void {
    if (event instanceof Uint8Array) return this.violate(new ProtocolError("Cannot take bytes as no stream is open"));
    if (event.kind !== "open" && event.kind !== "connect") {
      return this.violate(new ProtocolError(`Cannot take "${event.kind}" as no stream is open`));
    }
    if (this.#options.opener) return this.violate(new ProtocolError("Cannot take a stream as this side opens them"));
    if ((event.kind === "open") !== this.#options.client) {
      return this.violate(new ProtocolError(`Cannot take "${event.kind}" from this side`));
    }
    const stream = new ChannelStream(this, { role: "answerer" });
    this.#stream = stream;
    this.#parked = null;
    this.#serve(stream, event);
  }

  async #serve(stream: ChannelStream, first: StreamOpen | StreamConnect): Promise<void> {
    const { onStream, onConnect } = this.#options;
    try {
      await (first.kind === "open" ? onStream?.(stream, first) : onConnect?.(stream, first));
    } catch (error) {
      stream.reset(error);
    }
  }

  async #unpark(parked: Promise<void>): Promise<void> {
    await parked;
    this.#parked = null;
    if (this.#kept === null && this.#closed) throw new StreamResetError();
  }

  async #receiveLater(first: Promise<Uint8Array | null>): Promise<Uint8Array | StreamMessage> {
    let pending: MaybePromise<Uint8Array | null> = first;
    for (;;) {
      this.liveness.listening = true;
      this.#feed(pending instanceof Promise ? await pending : pending);
      const event = this.#decode();
      if (event !== null) return event;
      pending = this.#transport.read();
    }
  }

  readonly #feed = (chunk: Uint8Array | null): void => {
    this.liveness.listening = false;
    if (chunk === null) throw new StreamResetError("The channel was closed in the middle of a stream");
    const now = performance.now();
    this.#pingPong.noteSilence(now - this.liveness.heardAt);
    this.liveness.onHeard(now);
    this.#lent.begin(chunk);
    this.#decoder.push(chunk);
  };

  #decode(): Uint8Array | StreamMessage | null {
    if (this.#aborted) return null;
    const event = this.#decoder.next();
    if (event instanceof Uint8Array) this.#lent.lend(event, !this.#decoder.hasBytes);
    return event;
  }

  /** Sends without waiting; a failure is seen as the end of the channel. */
  #post(message: StreamMessage): void {
    try {
      const sent = this.sendMessage(message);
      if (sent instanceof Promise) sent.catch(() => this.close());
    } catch {
      this.close();
    }
  }

  #write(frame: Uint8Array): MaybePromise<void> {
    if (this.#closed) throw new StreamResetError("Cannot write as the channel is closed");
    this.liveness.wrote = true;
    return this.#transport.write(frame);
  }

  #onClosed(violation?: ProtocolError): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#stream?.onChannelClosed();
    this.#options.onClosed?.(this, violation);
  }
}
