import { allocate } from "../protocol/allocate.ts";
import { type CodedError, errorFromWire, ProtocolError, StreamResetError, toCodedError } from "../protocol/errors.ts";
import {
  encodeFrame,
  FRAME_HEADER_ROOM_BYTES,
  FrameDecoder,
  frameHeaderBytes,
  maskFrame,
  OPCODE,
  writeFrameHeader,
} from "../protocol/frame.ts";
import {
  MAX_DATA_PAYLOAD_BYTES,
  MAX_EMPTY_FRAGMENTS,
  MAX_FRAGMENTS,
  MAX_RECEIVED_FRAME_BYTES,
  MAX_STREAM_MESSAGE_BYTES,
} from "../protocol/limits.ts";
import { parseStreamMessage, type StreamMessage, type StreamOpen } from "../protocol/stream_message.ts";
import { Deadline } from "./deadline.ts";
import type { Duplex, MaybePromise } from "./duplex.ts";
import { PingPong } from "./ping_pong.ts";

/** An `rst` that cannot be written in this time is not waited for: the connection closes, which says the same. */
const RESET_WRITE_TIMEOUT_MS = 5_000;
/** After we refused a stream, what the opener sent meanwhile must end within this time. */
const REFUSED_DRAIN_TIMEOUT_MS = 15_000;
/** Bytes that go out in one write, as several frames if need be: no end of the stream can come between them. */
const MAX_WRITE_BYTES = 4 * MAX_DATA_PAYLOAD_BYTES;

const ENCODER = new TextEncoder();
const DECODER = new TextDecoder("utf-8", { fatal: true });

type Reject = (error: CodedError) => void;

/** What a channel is, fixed at the dial. */
export interface DataChannelOptions {
  /** Whether we are the client of the WebSocket, whose frames are masked. */
  client: boolean;
  /** Whether streams on it are opened by us. */
  opener: boolean;
  /** Whether TLS is underneath; without it a client masks with a random key. */
  secure: boolean;
  /** Bytes that came behind the upgrade. */
  initial?: Uint8Array;
  /** Answers a stream that the peer opened; runs until the stream has ended. */
  onStream?: (stream: ChannelStream, open: StreamOpen) => Promise<void>;
  /** The channel is free again. */
  onIdle?: (channel: DataChannel) => void;
  /** The connection is gone; `violation` is set when the peer broke the protocol. */
  onClosed?: (channel: DataChannel, violation?: ProtocolError) => void;
}

/** One pooled WebSocket, carrying one stream at a time. */
export class DataChannel {
  /** Milliseconds of `performance.now()` at which the peer was last heard. */
  heardAt: number = performance.now();
  readonly #transport: Duplex;
  readonly #options: DataChannelOptions;
  readonly #decoder: FrameDecoder;
  readonly #pingPong: PingPong;
  #stream: ChannelStream | null = null;
  #closed = false;
  /** Somebody waits for bytes: only then does the peer's silence mean anything. */
  #listening = false;
  #pingedAt: number | null = null;
  /** When a check first found us listening in vain since the last byte or the last time we were held back. */
  #quietSince: number | null = null;
  #pieces: Uint8Array[] = [];
  #pieceBytes = 0;
  #fragments = 0;
  #emptyFragments = 0;
  #message: "text" | "binary" | null = null;
  /** The read of the idle channel. */
  #parked: Promise<void> | null = null;
  /** What arrived for a stream that was opened while the idle channel was already reading. */
  #kept: Uint8Array | StreamMessage | null = null;
  #controlPieces = new Uint8Array(0);
  /** Whether something was written since the last check, and when such a check was last made. */
  #wrote = false;
  #wroteAt: number = performance.now();
  /** The stream was reset: what still comes is discarded until the peer closes. */
  #aborted = false;

  /** The transport must take a write while another one waits, as sockets do: a pong may come between the frames of a stream. */
  constructor(transport: Duplex, options: DataChannelOptions) {
    this.#transport = transport;
    this.#options = options;
    this.#pingPong = new PingPong({
      write: (opcode, payload) => this.#write(this.#encode(opcode, payload)),
      onFailed: () => this.close(),
    });
    this.#decoder = new FrameDecoder({ masked: !options.client, maxPayloadBytes: MAX_RECEIVED_FRAME_BYTES });
    if (options.initial !== undefined) this.#decoder.push(options.initial);
    transport.closed.then(() => this.#onClosed());
    this.#wait();
  }

  get closed(): boolean {
    return this.#closed;
  }

  /** Whether a stream is on it (or was, and has not ended both ways). */
  get busy(): boolean {
    return this.#stream !== null;
  }

  /**
   * Opens a stream; bytes may be written at once. The channel must be idle.
   * The peer's refusal is thrown by the stream's `opened()` or first `read()`.
   */
  open(message: Omit<StreamOpen, "kind">): ChannelStream {
    if (this.#closed) throw new StreamResetError("Cannot open a stream as the channel is closed");
    if (this.#stream !== null) throw new Error("Cannot open a stream as the channel carries one");
    const stream = new ChannelStream(this, { role: "opener" });
    this.#stream = stream;
    this.#post({ kind: "open", ...message });
    return stream;
  }

  /**
   * Pings when for `silenceMs` nothing was heard from the peer, or nothing sent to it: a peer whose ping is stuck behind bytes that
   * we take in slowly learns from ours that we live. Closes when nothing came for `pongMs` after a ping.
   */
  checkLiveness(now: number, limits: { silenceMs: number; pongMs: number }): void {
    if (this.#closed) return;
    if (this.#wrote) {
      this.#wrote = false;
      this.#wroteAt = now;
    }
    // A reader that is held back cannot hear the peer, and must not judge it; its own pings still tell the peer that it lives.
    this.#quietSince = this.#listening ? this.#quietSince ?? now : null;
    if (this.#pingedAt !== null && this.#quietSince !== null) {
      if (now - Math.max(this.#pingedAt, this.#quietSince) >= limits.pongMs) return this.close();
    }
    const since = this.#pingedAt === null ? this.heardAt : Math.max(this.heardAt, this.#pingedAt);
    if (now - since >= limits.silenceMs || now - this.#wroteAt >= limits.silenceMs) this.ping(now);
  }

  /** Sends a ping now; whether it is answered is judged by {@link checkLiveness}. */
  ping(now: number): void {
    this.#pingedAt = now;
    this.#wroteAt = now;
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
    const masked = this.#options.client;
    const inPlace = headroom >= FRAME_HEADER_ROOM_BYTES && bytes.length <= MAX_DATA_PAYLOAD_BYTES &&
      (!masked || this.#options.secure);
    return this.#write(inPlace ? frameInPlace(bytes, masked) : this.#encodeBytes(bytes));
  }

  /** Sends a stream message. */
  sendMessage(message: StreamMessage): MaybePromise<void> {
    return this.#write(this.#encode(OPCODE.text, ENCODER.encode(JSON.stringify(message))));
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
        this.#listening = true;
        return chunk.then(this.#feed);
      }
      this.#feed(chunk);
    }
  }

  /** The peer's direction has ended and ours has not: nobody reads now, but pings are to be answered and a cut is to be seen. */
  watch(): void {
    if (this.#closed || this.#aborted) return;
    try {
      for (;;) {
        this.#kept = this.#decode();
        if (this.#kept !== null) return; // Meant for the next stream: there is none before this one has ended.
        const chunk = this.#transport.read();
        if (chunk instanceof Promise) {
          this.#parked = this.#park(chunk);
          return;
        }
        this.#feed(chunk);
      }
    } catch (error) {
      this.violate(error);
    }
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

  /** Reads on until the peer, having seen the rst, closes: to close on unread bytes could destroy the rst on its way. */
  async #finishAbort(error: CodedError | null): Promise<void> {
    try {
      if (error !== null) {
        await this.sendMessage({ kind: "rst", code: error.code, message: error.message.slice(0, 1024) });
      }
      await this.#transport.closeWrite();
      if (this.#listening) return; // Who waits for bytes already discards them from now on, and closes at the end.
      while (await this.#transport.read() !== null);
    } catch {
      // The connection is gone, which says the same as the rst.
    }
    this.close();
  }

  /** Between streams: answers pings, notices the end, and takes the peer's next stream. What had come already is dealt with at once. */
  #wait(): void {
    try {
      for (;;) {
        const event = this.#decode();
        if (event !== null) return this.#answer(event);
        const chunk = this.#transport.read();
        if (chunk instanceof Promise) {
          this.#parked = this.#park(chunk);
          return;
        }
        this.#feed(chunk);
      }
    } catch (error) {
      this.violate(error);
    }
  }

  /** After a stream: a read that began while it was half closed goes on, and what it has found was meant for now. */
  #goOn(): void {
    if (this.#kept === null) {
      if (this.#parked === null) this.#wait();
      return;
    }
    const event = this.#kept;
    this.#kept = null;
    this.#parked = null;
    try {
      this.#answer(event);
    } catch (error) {
      this.violate(error);
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

  #answer(event: Uint8Array | StreamMessage): void {
    if (event instanceof Uint8Array) throw new ProtocolError("Cannot take bytes as no stream is open");
    if (event.kind !== "open") throw new ProtocolError(`Cannot take "${event.kind}" as no stream is open`);
    if (this.#options.opener) throw new ProtocolError("Cannot take a stream as this side opens them");
    const stream = new ChannelStream(this, { role: "answerer" });
    this.#stream = stream;
    this.#parked = null;
    this.#serve(stream, event);
  }

  async #serve(stream: ChannelStream, open: StreamOpen): Promise<void> {
    try {
      await this.#options.onStream?.(stream, open);
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
      this.#listening = true;
      this.#feed(pending instanceof Promise ? await pending : pending);
      const event = this.#decode();
      if (event !== null) return event;
      pending = this.#transport.read();
    }
  }

  readonly #feed = (chunk: Uint8Array | null): void => {
    this.#listening = false;
    if (chunk === null) throw new StreamResetError("The channel was closed in the middle of a stream");
    const now = performance.now();
    this.#pingPong.noteSilence(now - this.heardAt);
    this.heardAt = now;
    this.#pingedAt = null;
    this.#quietSince = null;
    this.#decoder.push(chunk);
  };

  /** The next bytes or message in the chunk at hand; control frames are dealt with on the way. */
  #decode(): Uint8Array | StreamMessage | null {
    if (this.#aborted) return null;
    const decoder = this.#decoder;
    for (;;) {
      const piece = decoder.next();
      if (piece === null) return null;
      switch (decoder.opcode) {
        case OPCODE.binary:
          this.#countFragment("binary", piece);
          if (piece.length > 0) return piece;
          break;
        case OPCODE.text: {
          const message = this.#collectText(piece);
          if (message !== null) return message;
          break;
        }
        case OPCODE.continuation: {
          if (this.#message === null) throw new ProtocolError("Cannot continue a message as none was begun");
          if (this.#message === "text") {
            const message = this.#collectText(piece);
            if (message !== null) return message;
          } else {
            this.#countFragment("binary", piece);
            if (piece.length > 0) return piece;
          }
          break;
        }
        default:
          this.#onControlPiece(piece);
      }
    }
  }

  /** Keeps track of a fragmented message: how many pieces, how many empty ones, and that messages do not interleave. */
  #countFragment(type: "text" | "binary", piece: Uint8Array): void {
    const decoder = this.#decoder;
    if (!decoder.frameEnd) return;
    if (decoder.opcode !== OPCODE.continuation && this.#message !== null) {
      throw new ProtocolError("Cannot begin a message as the one before has not ended");
    }
    if (piece.length === 0 && ++this.#emptyFragments > MAX_EMPTY_FRAGMENTS) {
      throw new ProtocolError(`Cannot take more than ${MAX_EMPTY_FRAGMENTS} empty frames in a message`);
    }
    if (decoder.fin) {
      this.#message = null;
      this.#fragments = 0;
      this.#emptyFragments = 0;
    } else {
      this.#message = type;
    }
  }

  #collectText(piece: Uint8Array): StreamMessage | null {
    const decoder = this.#decoder;
    this.#pieceBytes += piece.length;
    if (this.#pieceBytes > MAX_STREAM_MESSAGE_BYTES) {
      throw new ProtocolError("Cannot read a stream message over 16 KiB");
    }
    if (!decoder.frameEnd || !decoder.fin || this.#pieces.length > 0) this.#pieces.push(piece.slice());
    if (decoder.frameEnd && ++this.#fragments > MAX_FRAGMENTS) {
      throw new ProtocolError(`Cannot read a message of more than ${MAX_FRAGMENTS} pieces`);
    }
    const complete = decoder.frameEnd && decoder.fin;
    this.#countFragment("text", piece);
    if (!complete) return null;
    const bytes = this.#pieces.length > 0 ? concat(this.#pieces, this.#pieceBytes) : piece;
    this.#pieces = [];
    this.#pieceBytes = 0;
    return parseStreamMessage(decodeText(bytes));
  }

  #onControlPiece(piece: Uint8Array): void {
    const decoder = this.#decoder;
    this.#controlPieces = concat([this.#controlPieces, piece], this.#controlPieces.length + piece.length);
    if (!decoder.frameEnd) return;
    const payload = this.#controlPieces;
    this.#controlPieces = new Uint8Array(0);
    if (decoder.opcode === OPCODE.close) throw new StreamResetError("The peer closed the channel");
    this.#pingPong.take(decoder.opcode, payload);
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

  #encode(opcode: (typeof OPCODE)[keyof typeof OPCODE], payload: Uint8Array): Uint8Array {
    const masked = this.#options.client;
    if (!masked || this.#options.secure) return encodeFrame(payload, { opcode, masked });
    return encodeFrame(payload, { opcode, masked, key: randomKey() });
  }

  /** Bytes as frames, copied once; of equal size, since a receiver hands on each: 64 KiB are two halves, not one and a byte. */
  #encodeBytes(bytes: Uint8Array): Uint8Array {
    const masked = this.#options.client;
    const count = Math.ceil(bytes.length / MAX_DATA_PAYLOAD_BYTES);
    const size = Math.ceil(bytes.length / count);
    const buffer = allocate(bytes.length + count * FRAME_HEADER_ROOM_BYTES);
    let start = buffer.length;
    for (let at = (count - 1) * size; at >= 0; at -= size) {
      const piece = count === 1 ? bytes : bytes.subarray(at, at + size);
      const payloadAt = start - piece.length;
      buffer.set(piece, payloadAt);
      start = writeFrameHeader(buffer, payloadAt, piece.length, { opcode: OPCODE.binary, masked });
      if (masked && !this.#options.secure) maskFrame(buffer, payloadAt, piece.length, randomKey());
    }
    return buffer.subarray(start);
  }

  #write(frame: Uint8Array): MaybePromise<void> {
    if (this.#closed) throw new StreamResetError("Cannot write as the channel is closed");
    this.#wrote = true;
    return this.#transport.write(frame);
  }

  #onClosed(violation?: ProtocolError): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#stream?.onChannelClosed();
    this.#options.onClosed?.(this, violation);
  }
}

/** One stream on a data channel, as seen by either end. */
export class ChannelStream implements Duplex {
  readonly closed: Promise<void>;
  readonly #onClosed: () => void;
  readonly #channel: DataChannel;
  readonly #role: "opener" | "answerer";
  /** Bytes that were given to whatever is behind us on this stream; goes out with our `fin`. */
  delivered = 0;
  /** The `written` of the peer's `fin`: bytes the peer gave to its target. */
  finWritten: number | undefined = undefined;
  #answered = false;
  #refusal: CodedError | null = null;
  #failure: CodedError | null = null;
  #readEnded = false;
  #writeEnded = false;
  #finSent: Promise<void> | null = null;
  /** What fails when the stream is reset: a read and a write that wait. */
  readonly #waiting: { read?: Reject; write?: Reject } = {};

  constructor(channel: DataChannel, options: { role: "opener" | "answerer" }) {
    this.#channel = channel;
    this.#role = options.role;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.closed = promise;
    this.#onClosed = resolve;
  }

  /** Whether the peer has said `ok`. */
  get answered(): boolean {
    return this.#answered;
  }

  /** Waits for the peer's `ok`; nobody else may read meanwhile. @throws {CodedError} the peer's refusal */
  async opened(): Promise<void> {
    if (this.#refusal !== null) throw this.#refusal;
    if (this.#answered) return;
    if (this.#failure !== null) throw this.#failure;
    this.#onAnswer(await this.#interruptible("read", this.#receive()));
  }

  /** Answerer: takes the stream. */
  accept(): MaybePromise<void> {
    this.#answered = true;
    return this.#channel.sendMessage({ kind: "ok" });
  }

  /** Answerer: refuses the stream, and discards what the opener sends until its end. */
  async refuse(error: CodedError): Promise<void> {
    const deadline = new Deadline(REFUSED_DRAIN_TIMEOUT_MS, () => this.reset(error));
    try {
      this.#writeEnded = true;
      await this.#channel.sendMessage({ kind: "error", code: error.code, message: error.message.slice(0, 1024) });
      while (!this.#readEnded) await this.read();
    } catch (cause) {
      this.reset(cause);
    } finally {
      deadline[Symbol.dispose]();
    }
  }

  read(): MaybePromise<Uint8Array | null> {
    if (this.#refusal !== null) throw this.#refusal;
    if (this.#readEnded) return null;
    if (this.#failure !== null) throw this.#failure;
    const event = this.#take();
    return event instanceof Promise ? this.#takeLater(event) : event;
  }

  write(bytes: Uint8Array, headroom: number = 0): MaybePromise<void> {
    this.#checkWritable();
    if (bytes.length === 0) return;
    const sent = bytes.length <= MAX_WRITE_BYTES ? this.#channel.sendBytes(bytes, headroom) : this.#writePieces(bytes);
    if (sent instanceof Promise) return this.#interruptible("write", sent);
  }

  closeWrite(): Promise<void> {
    this.#finSent ??= this.#sendFin();
    return this.#finSent;
  }

  reset(reason?: unknown): void {
    if (this.#failure !== null || this.#done()) return;
    this.#failure = toCodedError(reason ?? new StreamResetError(), "STREAM_RESET");
    this.#interrupt(this.#failure);
    if (!this.#writeEnded) {
      this.#channel.abort(this.#failure);
    } else if (this.#role === "opener") {
      // After a fin there is no rst, which could meet the next stream: the end of the connection says it.
      this.#channel.close();
    } else {
      // The same, but what we sent up to the fin is complete and may still be on its way.
      this.#channel.abort(null);
    }
    this.#onClosed();
  }

  close(): void {
    this.reset();
  }

  /** The connection under the stream is gone. */
  onChannelClosed(): void {
    this.#failure ??= new StreamResetError("The channel was closed");
    this.#interrupt(this.#failure);
    this.#onClosed();
  }

  #checkWritable(): void {
    if (this.#failure !== null) throw this.#failure;
    if (this.#refusal !== null) throw this.#refusal;
    if (this.#writeEnded) throw new StreamResetError("Cannot write as the direction has ended");
  }

  async #writePieces(bytes: Uint8Array): Promise<void> {
    for (let at = 0; at < bytes.length; at += MAX_WRITE_BYTES) {
      this.#checkWritable(); // A refusal may have ended it between two pieces.
      await this.#channel.sendBytes(bytes.subarray(at, at + MAX_WRITE_BYTES), 0);
    }
  }

  /** A wait for the peer that a reset ends at once. */
  #interruptible<T>(what: "read" | "write", pending: Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      this.#waiting[what] = reject;
      pending.then(resolve, reject);
    });
  }

  #interrupt(error: CodedError): void {
    this.#waiting.read?.(error);
    this.#waiting.write?.(error);
  }

  async #sendFin(): Promise<void> {
    if (this.#writeEnded || this.#failure !== null) return;
    this.#writeEnded = true;
    await this.#channel.sendMessage({ kind: "fin", written: this.delivered });
    this.#finishIfDone();
  }

  /** The next bytes, `null` at the end; or a promise after which to try again. */
  #take(): Uint8Array | null | Promise<void> {
    for (;;) {
      const event = this.#receiveNow();
      if (event instanceof Promise) return event;
      if (event instanceof Uint8Array) {
        this.#mayTakeBytes();
        return event;
      }
      if (this.#onMessage(event)) return null;
    }
  }

  /** A read that waits, made of as few promises as possible; a reset ends it at once. */
  #takeLater(arrival: Promise<void>): Promise<Uint8Array | null> {
    return new Promise((resolve, reject) => {
      this.#waiting.read = reject;
      const retry = (): void => {
        try {
          const event = this.#take();
          if (event instanceof Promise) event.then(retry, fail);
          else resolve(event);
        } catch (error) {
          reject(error);
        }
      };
      const fail = (error: unknown): void => reject(this.#fail(error));
      arrival.then(retry, fail);
    });
  }

  async #receive(): Promise<Uint8Array | StreamMessage> {
    for (;;) {
      const event = this.#receiveNow();
      if (!(event instanceof Promise)) return event;
      try {
        await event;
      } catch (error) {
        throw this.#fail(error);
      }
    }
  }

  #receiveNow(): Uint8Array | StreamMessage | Promise<void> {
    try {
      return this.#channel.receive();
    } catch (error) {
      throw this.#fail(error);
    }
  }

  #fail(error: unknown): CodedError {
    if (this.#failure === null && !(error instanceof ProtocolError)) {
      this.#failure = toCodedError(error, "STREAM_RESET");
    }
    this.#channel.violate(error);
    return this.#failure ?? toCodedError(error, "STREAM_RESET");
  }

  #mayTakeBytes(): void {
    if (this.#role === "opener" && !this.#answered) {
      throw this.#fail(new ProtocolError("Cannot take bytes as the stream was not answered"));
    }
  }

  /** Deals with a message of the peer; true when its direction has ended. */
  #onMessage(message: StreamMessage): boolean {
    switch (message.kind) {
      case "ok":
      case "error":
        this.#onAnswer(message);
        return false;
      case "fin":
        if (this.#role === "opener" && !this.#answered) {
          throw this.#fail(new ProtocolError("Cannot take the end as the stream was not answered"));
        }
        this.finWritten = message.written;
        this.#readEnded = true;
        if (this.#writeEnded) this.#finishIfDone();
        else this.#channel.watch();
        return true;
      case "rst":
        this.#failure = errorFromWire(message.code, message.message, "STREAM_RESET");
        this.#channel.close();
        throw this.#failure;
      case "open":
        throw this.#fail(new ProtocolError("Cannot open a stream as the channel carries one"));
    }
  }

  #onAnswer(event: Uint8Array | StreamMessage): void {
    if (this.#role !== "opener" || this.#answered || event instanceof Uint8Array) {
      throw this.#fail(new ProtocolError("Cannot take this as the answer to a stream"));
    }
    if (event.kind === "ok") {
      this.#answered = true;
      return;
    }
    if (event.kind === "rst") {
      this.#onMessage(event);
      return;
    }
    if (event.kind !== "error") {
      throw this.#fail(new ProtocolError(`Cannot take "${event.kind}" as the answer to a stream`));
    }
    this.#refusal = errorFromWire(event.code, event.message, "TARGET_UNREACHABLE");
    this.#readEnded = true;
    this.#endRefused();
    throw this.#refusal;
  }

  /** After a refusal the opener sends its `fin`, and the channel is free. */
  #endRefused(): void {
    this.#finSent ??= this.#sendFin();
    this.#finSent.then(() => this.#finishIfDone(), () => this.#channel.close());
  }

  #done(): boolean {
    return this.#readEnded && this.#writeEnded;
  }

  #finishIfDone(): void {
    if (!this.#done()) return;
    this.#onClosed();
    this.#channel.release(this);
  }
}

function concat(pieces: readonly Uint8Array[], length: number): Uint8Array<ArrayBuffer> {
  const whole = new Uint8Array(length);
  let at = 0;
  for (const piece of pieces) {
    whole.set(piece, at);
    at += piece.length;
  }
  return whole;
}

function decodeText(bytes: Uint8Array): string {
  try {
    return DECODER.decode(bytes);
  } catch (cause) {
    throw new ProtocolError("Cannot read a text frame as it is not UTF-8", { cause });
  }
}

/** A frame whose header is written into the bytes in front of its payload. */
function frameInPlace(bytes: Uint8Array, masked: boolean): Uint8Array {
  const headerBytes = frameHeaderBytes(bytes.length, masked);
  const frame = new Uint8Array(bytes.buffer, bytes.byteOffset - headerBytes, headerBytes + bytes.length);
  writeFrameHeader(frame, headerBytes, bytes.length, { opcode: OPCODE.binary, masked });
  return frame;
}

function randomKey(): Uint8Array {
  return crypto.getRandomValues(new Uint8Array(4));
}
