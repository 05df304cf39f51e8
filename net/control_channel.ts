import { ProtocolError } from "../protocol/errors.ts";
import { encodeFrame, FrameDecoder, OPCODE, type Opcode } from "../protocol/frame.ts";
import { MAX_CONTROL_FRAMES_PER_S, MAX_CONTROL_MESSAGE_BYTES, MAX_FRAGMENTS } from "../protocol/limits.ts";
import {
  type ControlMessage,
  encodeControlMessage,
  parseControlMessage,
  type UnknownMessage,
} from "../protocol/message.ts";
import { Deadline } from "./deadline.ts";
import type { Duplex } from "./duplex.ts";
import { RateLimit } from "./rate_limit.ts";

/** A message larger than one frame of the 16-bit length form goes out in pieces of this size. */
const FRAGMENT_BYTES = 65_535;
/** A closing handshake that is not answered in this time is not waited for. */
const CLOSE_TIMEOUT_MS = 2_000;

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
  readonly #options: ControlChannelOptions;
  readonly #decoder: FrameDecoder;
  readonly #controlFrames = new RateLimit(MAX_CONTROL_FRAMES_PER_S);
  #signsOfLife: (() => void)[] = [];
  #pieces: Uint8Array[] = [];
  #bytes = 0;
  #fragments = 0;
  #inMessage = false;
  #controlPayload: Uint8Array = new Uint8Array(0);
  #sending: Promise<void> = Promise.resolve();

  constructor(transport: Duplex, options: ControlChannelOptions) {
    this.#transport = transport;
    this.#options = options;
    this.closed = transport.closed;
    this.#decoder = new FrameDecoder({ masked: !options.client, maxPayloadBytes: MAX_CONTROL_MESSAGE_BYTES });
    if (options.initial !== undefined) this.#decoder.push(options.initial);
  }

  /** Sends a message; messages keep their order. */
  send(message: ControlMessage): Promise<void> {
    const bytes = ENCODER.encode(encodeControlMessage(message));
    const before = this.#sending;
    const sent = before.then(() => this.#sendFragments(bytes));
    this.#sending = sent.catch(() => {});
    return sent;
  }

  /**
   * The next message, or `null` when the peer has closed.
   * @throws {ProtocolError} when the peer broke the protocol; {StreamResetError} when the connection broke
   */
  async receive(): Promise<ControlMessage | UnknownMessage | null> {
    for (;;) {
      const message = this.#decode();
      if (message !== undefined) return message;
      const chunk = await this.#transport.read();
      if (chunk === null) return null;
      this.heardAt = performance.now();
      for (const tell of this.#signsOfLife.splice(0)) tell();
      this.#decoder.push(chunk);
    }
  }

  /** Asks for a sign of life. */
  async ping(): Promise<void> {
    await this.#transport.write(this.#frame(OPCODE.ping, new Uint8Array(0)));
  }

  /** Whether the peer gives any sign of life within the time, ms. Somebody must be receiving. */
  async isAlive(withinMs: number): Promise<boolean> {
    const { promise, resolve } = Promise.withResolvers<boolean>();
    using _deadline = new Deadline(withinMs, () => resolve(false));
    this.#signsOfLife.push(() => resolve(true));
    this.closed.then(() => resolve(false));
    this.ping().catch(() => resolve(false));
    return await promise;
  }

  /** Ends the channel after everything sent has gone out. */
  async close(): Promise<void> {
    using _deadline = new Deadline(CLOSE_TIMEOUT_MS, () => this.#transport.reset());
    try {
      await this.#sending;
      await this.#transport.write(this.#frame(OPCODE.close, new Uint8Array([0x03, 0xe8]))); // 1000, normal closure
      await this.#transport.closeWrite();
    } catch {
      // The connection is gone already.
    }
    this.#transport.close();
  }

  /** Cuts the connection. */
  reset(): void {
    this.#transport.reset();
  }

  async #sendFragments(bytes: Uint8Array): Promise<void> {
    for (let at = 0; at === 0 || at < bytes.length; at += FRAGMENT_BYTES) {
      const piece = bytes.subarray(at, at + FRAGMENT_BYTES);
      const frame = this.#frame(at === 0 ? OPCODE.text : OPCODE.continuation, piece);
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
    this.#bytes += piece.length;
    if (this.#bytes > MAX_CONTROL_MESSAGE_BYTES) throw new ProtocolError("Cannot read a control message over 1 MiB");
    this.#pieces.push(piece.slice());
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

  #finishMessage(): ControlMessage | UnknownMessage {
    const whole = new Uint8Array(this.#bytes);
    let at = 0;
    for (const piece of this.#pieces) {
      whole.set(piece, at);
      at += piece.length;
    }
    this.#pieces = [];
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
    this.#controlPayload = decoder.frameEnd ? new Uint8Array(0) : payload;
    if (!decoder.frameEnd) return false;
    if (!this.#controlFrames.take()) throw new ProtocolError("Cannot take so many control frames a second");
    if (decoder.opcode === OPCODE.ping) this.#pong(payload);
    return decoder.opcode === OPCODE.close;
  }

  #pong(payload: Uint8Array): void {
    Promise.resolve(this.#transport.write(this.#frame(OPCODE.pong, payload))).catch(() => {
      // The reader will see that the connection is gone.
    });
  }

  #frame(opcode: Opcode, payload: Uint8Array): Uint8Array {
    const { client, secure } = this.#options;
    if (!client || secure) return encodeFrame(payload, { opcode, masked: client });
    return encodeFrame(payload, { opcode, masked: true, key: crypto.getRandomValues(new Uint8Array(4)) });
  }
}

function decodeText(bytes: Uint8Array): string {
  try {
    return DECODER.decode(bytes);
  } catch (cause) {
    throw new ProtocolError("Cannot read a text frame as it is not UTF-8", { cause });
  }
}
