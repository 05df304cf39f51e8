import { concat } from "./concat.ts";
import { ProtocolError, StreamResetError } from "./errors.ts";
import { FrameDecoder, OPCODE, type Opcode } from "./frame.ts";
import { MAX_EMPTY_FRAGMENTS, MAX_FRAGMENTS, MAX_RECEIVED_FRAME_BYTES, MAX_STREAM_MESSAGE_BYTES } from "./limits.ts";
import { parseStreamMessage, type StreamMessage } from "./stream_message.ts";

const DECODER = new TextDecoder("utf-8", { fatal: true });

/** How a data channel is read. */
export interface StreamDecoderOptions {
  /** Whether the peer is the client of the WebSocket. */
  masked: boolean;
  /** Told of pings and pongs, which may come anywhere. */
  onControl: (opcode: Opcode, payload: Uint8Array) => void;
}

/** What a peer sends on a data channel: bytes as they come, without copy or reassembly, and whole stream messages. */
export class StreamDecoder {
  readonly #decoder: FrameDecoder;
  readonly #onControl: StreamDecoderOptions["onControl"];
  #pieces: Uint8Array[] = [];
  #pieceBytes = 0;
  #fragments = 0;
  #emptyFragments = 0;
  #message: "text" | "binary" | null = null;
  #controlPieces = new Uint8Array(0);

  constructor({ masked, onControl }: StreamDecoderOptions) {
    this.#decoder = new FrameDecoder({ masked, maxPayloadBytes: MAX_RECEIVED_FRAME_BYTES });
    this.#onControl = onControl;
  }

  /** Whether the chunk at hand is not used up. */
  get hasBytes(): boolean {
    return this.#decoder.hasBytes;
  }

  /** Gives the decoder the next bytes; the chunk before it must have been read to its end. */
  push(chunk: Uint8Array): void {
    this.#decoder.push(chunk);
  }

  /**
   * The next bytes or message in the chunk at hand, or `null` when it is used up.
   * @throws {ProtocolError} on whatever the protocol forbids; {StreamResetError} when the peer closes the WebSocket
   */
  next(): Uint8Array | StreamMessage | null {
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
    const bytes = this.#pieces.length > 0 ? concat(...this.#pieces) : piece;
    this.#pieces = [];
    this.#pieceBytes = 0;
    return parseStreamMessage(decodeText(bytes));
  }

  #onControlPiece(piece: Uint8Array): void {
    const decoder = this.#decoder;
    this.#controlPieces = concat(this.#controlPieces, piece);
    if (!decoder.frameEnd) return;
    const payload = this.#controlPieces;
    this.#controlPieces = new Uint8Array(0);
    if (decoder.opcode === OPCODE.close) throw new StreamResetError("The peer closed the channel");
    this.#onControl(decoder.opcode, payload);
  }
}

function decodeText(bytes: Uint8Array): string {
  try {
    return DECODER.decode(bytes);
  } catch (cause) {
    throw new ProtocolError("Cannot read a text frame as it is not UTF-8", { cause });
  }
}
