import { CodedError } from "../../protocol/errors.ts";
import type { Decoded } from "../../protocol/socks5.ts";
import type { Duplex } from "../duplex.ts";

/** Reads SOCKS messages, wherever they are split. It holds one message (513 bytes at most) and what one read gave. */
export class SocksReader {
  readonly #duplex: Duplex;
  #bytes: Uint8Array = new Uint8Array(0);

  constructor(duplex: Duplex) {
    this.#duplex = duplex;
  }

  /** The next message. @throws {CodedError} SOCKS_INVALID at an end within it; what the codec and the connection throw */
  async read<T>(decode: (bytes: Uint8Array) => Decoded<T>): Promise<T> {
    for (;;) {
      const message = decode(this.#bytes);
      if (message !== null) {
        this.#bytes = this.#bytes.subarray(message.length);
        return message.value;
      }
      const more = await this.#duplex.read();
      if (more === null) throw new CodedError("SOCKS_INVALID", "The connection ended inside a SOCKS message");
      const joined = new Uint8Array(this.#bytes.length + more.length);
      joined.set(this.#bytes);
      joined.set(more, this.#bytes.length);
      this.#bytes = joined;
    }
  }

  /** What came behind the last message. */
  rest(): Uint8Array {
    return this.#bytes;
  }
}
