import { type CodedError, errorFromWire, ProtocolError, StreamResetError, toCodedError } from "../protocol/errors.ts";
import { MAX_DATA_PAYLOAD_BYTES } from "../protocol/limits.ts";
import type { StreamMessage } from "../protocol/stream_message.ts";
import { Deadline } from "./deadline.ts";
import type { Duplex, MaybePromise } from "./duplex.ts";

/** After we refused a stream, what the opener sent meanwhile must end within this time. */
const REFUSED_DRAIN_TIMEOUT_MS = 15_000;
/** Bytes that go out in one write, as several frames if need be: no end of the stream can come between them. */
export const MAX_WRITE_BYTES: number = 4 * MAX_DATA_PAYLOAD_BYTES;

type Reject = (error: CodedError) => void;

/** The channel under a stream. */
export interface StreamCarrier {
  /** See {@link Duplex.headroom}. */
  readonly headroom: number;
  /** Whether `sendAll` may be used. */
  readonly joins: boolean;
  /** Whether `receive()` most likely gives something without waiting. */
  readonly ready: boolean;
  /** Sends bytes, at most {@link MAX_WRITE_BYTES}, as binary frames in one write; into `headroom` bytes in front the header may go. */
  sendBytes(bytes: Uint8Array, headroom: number): MaybePromise<void>;
  /** Sends several pieces as one frame. */
  sendAll(pieces: readonly Uint8Array[], length: number): MaybePromise<void>;
  sendMessage(message: StreamMessage): MaybePromise<void>;
  /**
   * The next bytes or message of the peer's stream; or a promise, after which there may be one and `receive()` is called again.
   * (A promise of the event itself would cost every wait a few promises more.)
   */
  receive(): Uint8Array | StreamMessage | Promise<void>;
  /** Bytes that `receive()` gave are not needed any more. */
  reuse(bytes: Uint8Array): void;
  /** The peer's direction has ended and ours has not: nobody reads now, but pings are to be answered and a cut is to be seen. */
  watch(): void;
  /** The stream has ended cleanly both ways. */
  release(stream: ChannelStream): void;
  /** Tells the peer that the stream is reset, by an `rst` if there is an error to tell, and closes the connection. */
  abort(error: CodedError | null): void;
  /** The peer broke the protocol. */
  violate(error: unknown): void;
  close(): void;
}

/** One stream on a data channel, as seen by either end. */
export class ChannelStream implements Duplex {
  readonly closed: Promise<void>;
  readonly #onClosed: () => void;
  readonly #channel: StreamCarrier;
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

  readonly writeAll?: (pieces: readonly Uint8Array[], length: number) => MaybePromise<void>;

  constructor(channel: StreamCarrier, options: { role: "opener" | "answerer" }) {
    this.#channel = channel;
    if (channel.joins) this.writeAll = this.#writeAll;
    this.#role = options.role;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.closed = promise;
    this.#onClosed = resolve;
  }

  get headroom(): number {
    return this.#channel.headroom;
  }

  /** Whether something has come that was not read. */
  get ready(): boolean {
    return this.#channel.ready;
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

  #writeAll(pieces: readonly Uint8Array[], length: number): MaybePromise<void> {
    this.#checkWritable();
    const sent = this.#channel.sendAll(pieces, length);
    if (sent instanceof Promise) return this.#interruptible("write", sent);
  }

  reuse(bytes: Uint8Array): void {
    this.#channel.reuse(bytes);
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
      case "connect":
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
