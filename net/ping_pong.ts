import { ProtocolError } from "../protocol/errors.ts";
import { OPCODE, type Opcode } from "../protocol/frame.ts";
import { MAX_CONTROL_FRAMES_PER_S } from "../protocol/limits.ts";
import type { MaybePromise } from "./duplex.ts";
import { RateLimit } from "./rate_limit.ts";

const NO_PAYLOAD = new Uint8Array(0);

/** How pings and pongs go out. */
export interface PingPongOptions {
  write: (opcode: Opcode, payload: Uint8Array) => MaybePromise<void>;
  /** One could not be written. */
  onFailed: () => void;
}

/** The pings and pongs of one WebSocket: answers them, counts them, and lets none pile up while the peer does not read. */
export class PingPong {
  readonly #options: PingPongOptions;
  readonly #rate = new RateLimit(MAX_CONTROL_FRAMES_PER_S);
  /** Settles when nothing waits to be written. */
  #sending: Promise<void> | null = null;
  /** Only the latest ping must be answered (RFC 6455 5.5.3). */
  #nextPong: Uint8Array | null = null;
  /** Pings that may yet be answered: their pongs are never too many. */
  #pongsDue = 0;
  #credit = 0;

  constructor(options: PingPongOptions) {
    this.#options = options;
  }

  /** Sends a ping, unless something still waits to be written. Settles when it was written. */
  ping(): Promise<void> {
    if (this.#sending !== null) return this.#sending;
    this.#pongsDue++;
    return this.#send(OPCODE.ping, NO_PAYLOAD);
  }

  /** Takes a ping or pong of the peer. @throws {ProtocolError} when they are too many */
  take(opcode: Opcode, payload: Uint8Array): void {
    if (opcode === OPCODE.pong && this.#pongsDue > 0) {
      this.#pongsDue--;
    } else if (!this.#rate.take() && --this.#credit < 0) {
      throw new ProtocolError("Cannot take so many control frames a second");
    }
    if (opcode !== OPCODE.ping) return;
    if (this.#sending !== null) this.#nextPong = payload;
    else this.#send(OPCODE.pong, payload);
  }

  /** Nothing was read for so long, ms: what the peer sent meanwhile (a ping each 25 s) arrives all at once, and is no flood. */
  noteSilence(ms: number): void {
    this.#credit = Math.max(this.#credit, Math.floor(ms / 1000));
  }

  #send(opcode: Opcode, payload: Uint8Array): Promise<void> {
    const sending = this.#sendAll(opcode, payload);
    this.#sending = sending;
    sending.then(() => this.#sending = null, this.#options.onFailed);
    return sending;
  }

  async #sendAll(opcode: Opcode, payload: Uint8Array): Promise<void> {
    await this.#options.write(opcode, payload);
    for (let pong = this.#nextPong; pong !== null; pong = this.#nextPong) {
      this.#nextPong = null;
      await this.#options.write(OPCODE.pong, pong);
    }
  }
}
