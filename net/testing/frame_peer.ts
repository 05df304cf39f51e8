import { encodeFrame, FrameDecoder, OPCODE, type Opcode } from "../../protocol/frame.ts";
import type { StreamMessage } from "../../protocol/stream_message.ts";
import type { Duplex } from "../duplex.ts";

/** A whole frame that came. */
export interface ReceivedFrame {
  opcode: Opcode;
  payload: Uint8Array;
  /** Of a text frame. */
  text: string;
}

/** The other end of a WebSocket, driven by hand: it sends what it is told, right or wrong, and shows each frame that comes. */
export class FramePeer {
  readonly duplex: Duplex;
  readonly #client: boolean;
  readonly #decoder: FrameDecoder;

  constructor(duplex: Duplex, options: { client: boolean }) {
    this.duplex = duplex;
    this.#client = options.client;
    this.#decoder = new FrameDecoder({ masked: !options.client, maxPayloadBytes: 1024 * 1024 });
  }

  /** Sends bytes as they are. */
  async raw(...parts: readonly Uint8Array[]): Promise<void> {
    await this.duplex.write(Uint8Array.from(parts.flatMap((part) => [...part])));
  }

  /** A frame of this side; final unless told otherwise. */
  frame(opcode: Opcode, payload: string | Uint8Array = "", options: { fin?: boolean } = {}): Uint8Array {
    const bytes = typeof payload === "string" ? new TextEncoder().encode(payload) : payload;
    const frame = encodeFrame(bytes, { opcode, masked: this.#client }).slice();
    if (options.fin === false) frame[0]! &= 0x7f;
    return frame;
  }

  /** A stream message as a frame. */
  message(message: StreamMessage): Uint8Array {
    return this.frame(OPCODE.text, JSON.stringify(message));
  }

  /** Sends one frame. */
  async send(opcode: Opcode, payload: string | Uint8Array = "", options: { fin?: boolean } = {}): Promise<void> {
    await this.duplex.write(this.frame(opcode, payload, options));
  }

  /** Sends stream messages, in one write. */
  async say(...messages: readonly StreamMessage[]): Promise<void> {
    await this.raw(...messages.map((message) => this.message(message)));
  }

  /** The next frame, or `null` at the end of the connection. */
  async next(): Promise<ReceivedFrame | null> {
    const pieces: Uint8Array<ArrayBuffer>[] = [];
    for (;;) {
      const piece = this.#decoder.next();
      if (piece === null) {
        const chunk = await this.duplex.read();
        if (chunk === null) return null;
        this.#decoder.push(chunk);
        continue;
      }
      pieces.push(piece.slice());
      if (!this.#decoder.frameEnd) continue;
      const { opcode } = this.#decoder;
      const payload = new Uint8Array(await new Blob(pieces).arrayBuffer());
      return { opcode, payload, text: opcode === OPCODE.text ? new TextDecoder().decode(payload) : "" };
    }
  }

  /** The next frame, which is a stream message. */
  async heard(): Promise<StreamMessage> {
    const frame = await this.next();
    if (frame?.opcode !== OPCODE.text) throw new Error(`Cannot read a message: ${frame?.opcode ?? "the end"}`);
    return JSON.parse(frame.text) as StreamMessage;
  }
}
