import { Buffer } from "node:buffer";
import net from "node:net";
import { SocketDuplex } from "../../net/socket_duplex.ts";
import { StreamResetError } from "../../protocol/errors.ts";
import { within } from "./wait.ts";

/** All that came, and how it ended. */
export interface ReadToEnd {
  readonly bytes: Uint8Array;
  /** As latin1, since every byte is a character there. */
  readonly text: string;
  readonly end: "end" | "reset";
}

/** The other side ended before what was waited for had come. */
export class WireEndedError extends Error {
  override readonly name: string = "WireEndedError";
}

/** One TCP connection as tests want it: text in and out, ends told from resets, every wait bounded. */
export class Wire implements AsyncDisposable {
  readonly socket: net.Socket;
  readonly #duplex: SocketDuplex;
  #buffer = Buffer.alloc(0);

  /** `duplex` is how the socket is read, when it is not a plain one. */
  constructor(socket: net.Socket, duplex: SocketDuplex = new SocketDuplex(socket)) {
    this.socket = socket;
    this.#duplex = duplex;
  }

  /** Settles when the connection is no more. */
  get closed(): Promise<void> {
    return this.#duplex.closed;
  }

  /** Bytes that came and were not taken. */
  get buffered(): number {
    return this.#buffer.length;
  }

  /** Settles when the kernel has taken the bytes, or enough of them. Text is latin1. */
  async send(data: string | Uint8Array): Promise<void> {
    await this.#duplex.write(typeof data === "string" ? Buffer.from(data, "latin1") : data);
  }

  /** Whatever comes next, soon; `null` at the end. @throws {StreamResetError} */
  async read(): Promise<Uint8Array | null> {
    return await within(this.next(), "bytes");
  }

  /** Whatever comes next, whenever it comes: for targets, which wait for their visitors. @throws {StreamResetError} */
  async next(): Promise<Uint8Array | null> {
    if (this.#buffer.length === 0) return await this.#duplex.read();
    const bytes = this.#buffer;
    this.#buffer = Buffer.alloc(0);
    return bytes;
  }

  /** Puts bytes back in front of what comes next. */
  unread(bytes: Uint8Array): void {
    this.#buffer = Buffer.concat([bytes, this.#buffer]);
  }

  /** Everything up to and including `mark`. */
  async readUntil(mark: string): Promise<string> {
    const bytes = Buffer.from(mark, "latin1");
    for (let from = 0;;) {
      const at = this.#buffer.indexOf(bytes, from);
      if (at >= 0) return this.#take(at + bytes.length).toString("latin1");
      from = Math.max(0, this.#buffer.length - bytes.length);
      await this.#more(`"${mark}"`);
    }
  }

  /** Exactly so many bytes. */
  async readExactly(count: number): Promise<Uint8Array> {
    const pieces = [this.#take(Math.min(count, this.#buffer.length))];
    let have = pieces[0]!.length;
    while (have < count) {
      await this.#more(`${count} bytes`);
      const piece = this.#take(Math.min(count - have, this.#buffer.length));
      pieces.push(piece);
      have += piece.length;
    }
    return Buffer.concat(pieces);
  }

  /** Everything until the other side ends or resets. */
  async readToEnd(): Promise<ReadToEnd> {
    const pieces: Uint8Array[] = [];
    let end: "end" | "reset" = "end";
    try {
      for (let bytes = await this.read(); bytes !== null; bytes = await this.read()) pieces.push(bytes);
    } catch (error) {
      if (!(error instanceof StreamResetError)) throw error;
      end = "reset";
    }
    const bytes = Buffer.concat(pieces);
    return { bytes, text: bytes.toString("latin1"), end };
  }

  /** Ends our direction; the other goes on. */
  async endWrite(): Promise<void> {
    await this.#duplex.closeWrite();
  }

  /** Resets the connection. */
  reset(): void {
    this.#duplex.reset();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.socket.destroy();
    await this.closed;
  }

  #take(count: number): Buffer {
    const taken = this.#buffer.subarray(0, count);
    this.#buffer = this.#buffer.subarray(count);
    return taken;
  }

  async #more(wanted: string): Promise<void> {
    const bytes = await within(Promise.resolve(this.#duplex.read()), wanted);
    if (bytes === null) {
      const before = JSON.stringify(this.#buffer.toString("latin1"));
      throw new WireEndedError(`Cannot read ${wanted} as the end came after ${before}`);
    }
    this.#buffer = Buffer.concat([this.#buffer, bytes]);
  }
}

/** Connects as a visitor does; `from` is the address it comes from. */
export async function connectTcp(
  port: number,
  { host = "127.0.0.1", from }: { host?: string; from?: string } = {},
): Promise<Wire> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const socket = net.connect({
    ...{ host, port, allowHalfOpen: true, noDelay: true },
    ...(from === undefined ? {} : { localAddress: from }),
  });
  socket.once("connect", resolve);
  socket.once("error", reject);
  try {
    await within(promise, `a connection to port ${port}`);
  } catch (error) {
    socket.destroy();
    // Taken and reset before we were told of the former: whoever reads learns the latter.
    if ((error as { code?: string }).code !== "ECONNRESET") throw error;
  }
  socket.off("error", reject);
  return new Wire(socket);
}
