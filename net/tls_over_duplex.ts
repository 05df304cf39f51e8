import tls from "node:tls";
import { type CodedError, StreamResetError } from "../protocol/errors.ts";
import { Deadline } from "./deadline.ts";
import { BULK_BYTES, type Duplex, type MaybePromise } from "./duplex.ts";
import { type ReadLevels, ReadQueue } from "./read_queue.ts";
import { TlsCarrier } from "./tls_carrier.ts";

/** Unread plaintext at which the connection beneath is not read any further, and at which it is again; what one read of it gives comes on top. */
const READ_LEVELS: ReadLevels = { highBytes: 64 * 1024, lowBytes: 32 * 1024 };

/** How TLS is ended. */
export interface TerminateTlsOptions {
  readonly context: tls.SecureContext;
  /** Until the handshake is finished, ms. */
  readonly handshakeMs: number;
  /** The protocols that are spoken; a visitor who offers others alone is refused. */
  readonly alpn: readonly string[];
}

/**
 * Ends the TLS of whoever is at the other end of a connection, of whatever kind, and gives the plaintext. An end without close_notify
 * is a reset: nobody can tell whether something was cut off.
 * @throws {CodedError} STREAM_RESET when there is no handshake; the peer was sent the alert and the connection is closed
 */
export async function terminateTls(duplex: Duplex, options: TerminateTlsOptions): Promise<Duplex> {
  const carrier = new TlsCarrier(duplex);
  const socket = new tls.TLSSocket(carrier as never, {
    isServer: true,
    secureContext: options.context,
    ALPNProtocols: [...options.alpn],
  });
  const secured = Promise.withResolvers<void>();
  const fail = (cause: unknown): void => secured.reject(failure(cause));
  socket.on("error", fail);
  socket.on("_tlsError", fail);
  const onEnd = (): void => fail(new Error("the connection has ended"));
  socket.once("close", onEnd);
  carrier.once("end", onEnd);
  socket.once("secure", () => secured.resolve());
  using _deadline = new Deadline(options.handshakeMs, () => {
    fail(new Error("it did not come to an end in time"));
    carrier.reset();
  });
  try {
    await secured.promise;
    return new TlsDuplex(socket, carrier);
  } catch (error) {
    void carrier.finish().then(() => socket.destroy());
    throw error;
  }
}

function failure(cause: unknown): CodedError {
  const reason = cause instanceof Error ? cause.message : String(cause);
  return new StreamResetError(`The TLS handshake failed: ${reason}`, { cause });
}

/** The plaintext of a connection whose TLS ends here. */
class TlsDuplex implements Duplex {
  readonly closed: Promise<void>;
  readonly #socket: tls.TLSSocket;
  readonly #carrier: TlsCarrier;
  readonly #unread: ReadQueue;
  #drained: PromiseWithResolvers<void> | null = null;
  #writeEnded: Promise<void> | null = null;
  #writeFinished = false;
  #failure: StreamResetError | null = null;

  constructor(socket: tls.TLSSocket, carrier: TlsCarrier) {
    this.#socket = socket;
    this.#carrier = carrier;
    this.#unread = new ReadQueue(READ_LEVELS, carrier);
    this.closed = carrier.closed;
    socket.on("data", (bytes: Uint8Array) => this.#unread.push(bytes));
    socket.on("end", () => this.#unread.end());
    socket.on("error", (error: Error) => this.#break(error.message, error));
    // After the handshake the runtime tells what is wrong with the peer's records in this way alone.
    socket.on("_tlsError", (error: Error) => this.#break(error.message, error));
    socket.on("drain", () => this.#onDrain());
    socket.once("close", () => this.#onClose());
    carrier.closed.then(() => this.#onClose());
    carrier.prependOnceListener("end", () => this.#onCarrierEnd());
  }

  get ready(): boolean {
    return this.#unread.ready;
  }

  read(): MaybePromise<Uint8Array | null> {
    return this.#unread.read();
  }

  write(bytes: Uint8Array): MaybePromise<void> {
    if (this.#failure !== null) throw this.#failure;
    if (this.#writeEnded !== null) throw new StreamResetError("Cannot write as the direction has ended");
    if (bytes.length >= BULK_BYTES) return this.#writeBulk(bytes);
    if (this.#socket.write(bytes)) return;
    this.#drained ??= Promise.withResolvers();
    return this.#drained.promise;
  }

  closeWrite(): Promise<void> {
    this.#writeEnded ??= new Promise((resolve) => {
      if (this.#failure !== null) return resolve();
      this.#socket.end(() =>
        this.#carrier.end(() => {
          this.#writeFinished = true;
          resolve();
        })
      );
      this.closed.then(resolve);
    });
    return this.#writeEnded;
  }

  reset(reason?: unknown): void {
    this.#fail("The connection was reset", reason);
    this.#unread.takeAll();
    this.#carrier.reset(reason);
    this.#socket.destroy();
  }

  close(): void {
    if (this.#failure !== null || this.#writeEnded === null || !this.#unread.ended) return this.reset();
    void this.#writeEnded.then(() => this.#carrier.finish()).then(() => this.#socket.destroy());
  }

  #writeBulk(bytes: Uint8Array): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#socket.write(bytes, (error) => error ? reject(this.#fail(error.message, error)) : resolve());
    });
  }

  /** Without a close_notify before it, the end was made by whoever cut the connection. */
  #onCarrierEnd(): void {
    const { ended } = (this.#socket as unknown as { _readableState: { ended: boolean } })._readableState;
    if (!ended) this.#break("The connection ended without close_notify");
  }

  #onDrain(): void {
    this.#drained?.resolve();
    this.#drained = null;
  }

  #onClose(): void {
    if (!this.#unread.ended || !this.#writeFinished) this.#break("The connection was reset");
  }

  /** The peer is still told by an alert, if the runtime has made one. */
  #break(message: string, cause?: unknown): void {
    this.#fail(message, cause);
    void this.#carrier.finish().then(() => this.#socket.destroy());
  }

  #fail(message: string, cause?: unknown): StreamResetError {
    this.#failure ??= new StreamResetError(message, { cause });
    this.#unread.fail(this.#failure);
    this.#drained?.reject(this.#failure);
    this.#drained = null;
    return this.#failure;
  }
}
