import { MAX_CLIENT_HELLO_BYTES } from "../../../protocol/limits.ts";
import type { Duplex } from "../../duplex.ts";
import { concat } from "./bytes.ts";
import { TLS13, TlsAlertError } from "./tls13.ts";

const RECORD_HEADER_BYTES = 5;
const MESSAGE_HEADER_BYTES = 4;

/** Reads plain handshake messages, however they are spread over records and reads (fragmented ClientHellos exist). */
export class HandshakeReader {
  readonly #duplex: Duplex;
  /** Bytes of records not yet looked at. */
  #raw: Uint8Array = new Uint8Array();
  /** What the records carried, not yet taken. */
  #messages: Uint8Array = new Uint8Array();

  constructor(duplex: Duplex) {
    this.#duplex = duplex;
  }

  /**
   * The next ClientHello with its header; `null` when the peer ends before it.
   * @throws {TlsAlertError} when something else comes, or too much
   */
  async clientHello(): Promise<Uint8Array | null> {
    let need = MESSAGE_HEADER_BYTES;
    while (this.#messages.length < need) {
      const piece = await this.#record();
      if (piece === null) return null;
      this.#messages = concat(this.#messages, piece);
      if (this.#messages.length >= MESSAGE_HEADER_BYTES) need = lengthOf(this.#messages);
    }
    const message = this.#messages.subarray(0, need);
    this.#messages = this.#messages.subarray(need);
    return message;
  }

  /** What the next handshake record carries. */
  async #record(): Promise<Uint8Array | null> {
    while (true) {
      const header = await this.#take(RECORD_HEADER_BYTES);
      if (header === null) return null;
      const [type] = header;
      if (type !== TLS13.record.handshake && type !== TLS13.record.changeCipherSpec) {
        throw new TlsAlertError("unexpected_message", "Something else than a TLS handshake came");
      }
      const length = (header[3]! << 8) | header[4]!;
      if (length === 0 || length > MAX_CLIENT_HELLO_BYTES) {
        throw new TlsAlertError("decode_error", "A TLS record has no valid length");
      }
      const body = await this.#take(length);
      // A change of cipher says nothing; it comes for middleboxes before a second ClientHello (RFC 8446 D.4).
      if (body === null || type === TLS13.record.handshake) return body;
    }
  }

  async #take(length: number): Promise<Uint8Array | null> {
    while (this.#raw.length < length) {
      const bytes = await this.#duplex.read();
      if (bytes === null) return null;
      this.#raw = concat(this.#raw, bytes);
    }
    const taken = this.#raw.subarray(0, length);
    this.#raw = this.#raw.subarray(length);
    return taken;
  }
}

/** Length of the message with its header. */
function lengthOf(message: Uint8Array): number {
  if (message[0] !== TLS13.handshake.clientHello) {
    throw new TlsAlertError("unexpected_message", "The first message is not a ClientHello");
  }
  const length = MESSAGE_HEADER_BYTES + ((message[1]! << 16) | (message[2]! << 8) | message[3]!);
  if (length > MAX_CLIENT_HELLO_BYTES) throw new TlsAlertError("decode_error", "The ClientHello is too large");
  return length;
}
