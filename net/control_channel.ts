import { ProtocolError } from "../protocol/errors.ts";
import { FrameDecoder, OPCODE } from "../protocol/frame.ts";
import { MAX_CONTROL_MESSAGE_BYTES, MAX_FRAGMENTS } from "../protocol/limits.ts";
import {
  type ControlMessage,
  encodeControlMessage,
  parseControlMessage,
  type UnknownMessage,
} from "../protocol/message.ts";
import { Deadline } from "./deadline.ts";
import type { Duplex } from "./duplex.ts";
import { FrameEncoder } from "./frame_encoder.ts";
import { PingPong } from "./ping_pong.ts";

/** A message larger than one frame of the 16-bit length form goes out in pieces of this size. */
const FRAGMENT_BYTES = 65_535;
/** A closing handshake that is not answered in this time is not waited for. */
const CLOSE_TIMEOUT_MS = 2_000;

/** Messages that wait to be sent, in all: a few of the largest (security P9). */
const MAX_UNSENT_BYTES = 4 * MAX_CONTROL_MESSAGE_BYTES;

const NO_BYTES = new Uint8Array(0);
const ENCODER = new TextEncoder();
const DECODER = new TextDecoder("utf-8", { fatal: true });

/** What a control channel is. */
export interface ControlChannelOptions {
  /** Whether we are the client of the WebSocket, whose frames are masked. */
  client: boolean;
  /** Whether TLS is underneath; without it a client masks with a random key. */
  secure: boolean;
  /** Bytes that came behind the upgrade. */
  initial?: Uint8Array;
}

/** The WebSocket that carries the JSON messages of a session. */
export class ControlChannel {
  /** Milliseconds of `performance.now()` at which the peer was last heard. */
  heardAt: number = performance.now();
  readonly closed: Promise<void>;
  readonly #transport: Duplex;
  readonly #frames: FrameEncoder;
  readonly #decoder: FrameDecoder;
  readonly #pingPong: PingPong;
  /** Who waits for a sign of life, and is told whether one came. */
  readonly #waitingForLife = new Set<(alive: boolean) => void>();
  /** The message so far, in a buffer that grows: a peer that sends byte by byte costs no more than another. */
  #message = NO_BYTES;
  #bytes = 0;
  #fragments = 0;
  #inMessage = false;
  #controlPayload: Uint8Array = NO_BYTES;
  #sending: Promise<void> = Promise.resolve();
  #unsentBytes = 0;
  #reading: Promise<Uint8Array | null> | null = null;
  #closing: Promise<void> | null = null;

  constructor(transport: Duplex, options: ControlChannelOptions) {
    this.#transport = transport;
    this.#frames = new FrameEncoder(options);
    this.closed = transport.closed;
    this.#decoder = new FrameDecoder({ masked: !options.client, maxPayloadBytes: MAX_CONTROL_MESSAGE_BYTES });
    if (options.initial !== undefined) this.#decoder.push(options.initial);
    this.#pingPong = new PingPong({
      write: (opcode, payload) => transport.write(this.#frames.frame(opcode, payload)),
      onFailed: () => {
        // Whoever receives sees that the connection is gone.
      },
    });
    this.closed.then(() => this.#tellSigns(false));
  }

  /** Sends a message; messages keep their order. A peer that asks and asks but does not read is cut. */
  send(message: ControlMessage): Promise<void> {
    const bytes = ENCODER.encode(encodeControlMessage(message));
    this.#unsentBytes += bytes.length;
    if (this.#unsentBytes > MAX_UNSENT_BYTES) this.reset();
    const before = this.#sending;
    const sent = before.then(() => this.#sendFragments(bytes)).finally(() => this.#unsentBytes -= bytes.length);
    this.#sending = sent.catch(() => {
      // Whoever sent it is told; the next one fails by itself.
    });
    return sent;
  }

  /**
   * The next message, or `null` when the peer has closed, or when we have.
   * @throws {ProtocolError} when the peer broke the protocol; {StreamResetError} when the connection broke
   */
  async receive(): Promise<ControlMessage | UnknownMessage | null> {
    for (;;) {
      if (this.#closing !== null) {
        await this.#closing;
        return null;
      }
      const message = this.#decode();
      if (message !== undefined) return message;
      const chunk = await this.#read();
      if (this.#closing !== null) continue; // From here on the close reads.
      if (chunk === null) return null;
      this.heardAt = performance.now();
      this.#tellSigns(true);
      this.#decoder.push(chunk);
    }
  }

  /** Asks for a sign of life. */
  ping(): Promise<void> {
    return this.#pingPong.ping();
  }

  /** Whether the peer gives any sign of life within the time, ms. Somebody must be receiving. */
  async isAlive(withinMs: number): Promise<boolean> {
    const { promise, resolve } = Promise.withResolvers<boolean>();
    using _deadline = new Deadline(withinMs, () => resolve(false));
    this.#waitingForLife.add(resolve);
    this.ping().catch(() => resolve(false));
    return await promise.finally(() => this.#waitingForLife.delete(resolve));
  }

  /** Ends the channel after everything sent has gone out. Idempotent; never rejects. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  /** Cuts the connection. */
  reset(): void {
    this.#transport.reset();
  }

  async #close(): Promise<void> {
    using _deadline = new Deadline(CLOSE_TIMEOUT_MS, () => this.#transport.reset());
    try {
      await this.#sending;
      await this.#transport.write(this.#frames.frame(OPCODE.close, new Uint8Array([0x03, 0xe8]))); // 1000, normal closure
      await this.#transport.closeWrite();
      // Until the peer has ended too: to cut on unread bytes could destroy what we sent last.
      while (await (this.#reading ?? this.#transport.read()) !== null);
    } catch {
      // The connection is gone already.
    }
    this.#transport.close();
  }

  async #read(): Promise<Uint8Array | null> {
    const read = this.#transport.read();
    if (!(read instanceof Promise)) return read;
    this.#reading = read;
    try {
      return await read;
    } finally {
      this.#reading = null;
    }
  }

  #tellSigns(alive: boolean): void {
    for (const tell of this.#waitingForLife) tell(alive);
  }

  async #sendFragments(bytes: Uint8Array): Promise<void> {
    for (let at = 0; at === 0 || at < bytes.length; at += FRAGMENT_BYTES) {
      const piece = bytes.subarray(at, at + FRAGMENT_BYTES);
      const frame = this.#frames.frame(at === 0 ? OPCODE.text : OPCODE.continuation, piece);
      if (at + piece.length < bytes.length) frame[0]! &= 0x7f;
      await this.#transport.write(frame);
    }
  }

  /** The next message in the chunk at hand; `null` is the peer's close, `undefined` means more bytes are needed. */
  #decode(): ControlMessage | UnknownMessage | null | undefined {
    const decoder = this.#decoder;
    for (let piece = decoder.next(); piece !== null; piece = decoder.next()) {
      if (decoder.opcode >= OPCODE.close) {
        if (this.#onControlFrame(piece)) return null;
        continue;
      }
      const message = this.#collect(piece);
      if (message !== undefined) return message;
    }
    return undefined;
  }

  #collect(piece: Uint8Array): ControlMessage | UnknownMessage | undefined {
    const decoder = this.#decoder;
    if (decoder.opcode === OPCODE.binary) throw new ProtocolError("Cannot take binary frames on a control channel");
    this.#append(piece);
    if (!decoder.frameEnd) return undefined;
    if ((decoder.opcode === OPCODE.continuation) !== this.#inMessage) {
      throw new ProtocolError("Cannot read a message whose pieces are out of order");
    }
    if (++this.#fragments > MAX_FRAGMENTS) {
      throw new ProtocolError(`Cannot read a message of more than ${MAX_FRAGMENTS} pieces`);
    }
    this.#inMessage = !decoder.fin;
    return decoder.fin ? this.#finishMessage() : undefined;
  }

  #append(piece: Uint8Array): void {
    const length = this.#bytes + piece.length;
    if (length > MAX_CONTROL_MESSAGE_BYTES) throw new ProtocolError("Cannot read a control message over 1 MiB");
    if (length > this.#message.length) {
      const grown = new Uint8Array(Math.min(2 * length, MAX_CONTROL_MESSAGE_BYTES));
      grown.set(this.#message.subarray(0, this.#bytes));
      this.#message = grown;
    }
    this.#message.set(piece, this.#bytes);
    this.#bytes = length;
  }

  #finishMessage(): ControlMessage | UnknownMessage {
    const whole = this.#message.subarray(0, this.#bytes);
    this.#message = NO_BYTES;
    this.#bytes = 0;
    this.#fragments = 0;
    return parseControlMessage(decodeText(whole));
  }

  /** Answers pings; true when the peer closes. */
  #onControlFrame(piece: Uint8Array): boolean {
    const decoder = this.#decoder;
    const payload = new Uint8Array(this.#controlPayload.length + piece.length);
    payload.set(this.#controlPayload);
    payload.set(piece, this.#controlPayload.length);
    this.#controlPayload = decoder.frameEnd ? NO_BYTES : payload;
    if (!decoder.frameEnd) return false;
    if (decoder.opcode === OPCODE.close) return true;
    this.#pingPong.take(decoder.opcode, payload);
    return false;
  }
}

function decodeText(bytes: Uint8Array): string {
  try {
    return DECODER.decode(bytes);
  } catch (cause) {
    throw new ProtocolError("Cannot read a text frame as it is not UTF-8", { cause });
  }
}
