import { BULK_BYTES, type Duplex } from "../net/duplex.ts";
import { StreamResetError } from "../protocol/errors.ts";

/** What is read from: standard input. */
export interface ByteReader {
  read(buffer: Uint8Array): Promise<number | null>;
}

/** What is written to: standard output. */
export interface ByteWriter {
  write(bytes: Uint8Array): Promise<number>;
}

/** What a {@link StdioDuplex} joins. */
export interface StdioDuplexOptions {
  readonly input: ByteReader;
  readonly output: ByteWriter;
  /** After the end of what is written, input that is silent for so long has ended too, ms. */
  readonly lingerMs: number;
}

/** Bytes per read; a pipe holds as many. */
const READ_BYTES = 64 * 1024;

/**
 * Standard input and output as one connection. The runtime cannot close its standard output before it ends, so that whoever reads it sees
 * the end only then: after `closeWrite()` input therefore goes on only as long as it comes.
 */
export class StdioDuplex implements Duplex {
  /** Settles when somebody closes or resets it, not at a failure: a pipe would take that for the reason. */
  readonly closed: Promise<void>;
  readonly #options: StdioDuplexOptions;
  readonly #onClosed: () => void;
  #buffer = new Uint8Array(READ_BYTES);
  #failure: StreamResetError | null = null;
  /** Fail a read and a write that wait. */
  readonly #waiting: { read?: (error: Error) => void; write?: (error: Error) => void } = {};
  /** Lets the read that waits see the end. */
  #endRead: (() => void) | null = null;
  #lingers = false;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(options: StdioDuplexOptions) {
    this.#options = options;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.closed = promise;
    this.#onClosed = resolve;
  }

  async read(): Promise<Uint8Array | null> {
    if (this.#failure !== null) throw this.#failure;
    const count = await this.#readOnce();
    if (count === null) return null;
    const bytes = this.#buffer.subarray(0, count);
    // What is small is copied, so that a large buffer is not kept for it.
    if (count < BULK_BYTES) return bytes.slice();
    this.#buffer = new Uint8Array(READ_BYTES);
    return bytes;
  }

  async write(bytes: Uint8Array): Promise<void> {
    if (this.#failure !== null) throw this.#failure;
    await new Promise<void>((resolve, reject) => {
      this.#waiting.write = reject;
      this.#writeAll(bytes).then(resolve, (cause) => {
        const gone = cause instanceof Deno.errors.BrokenPipe;
        const reason = gone
          ? "Nobody reads standard output any more"
          : `Cannot write to standard output: ${textOf(cause)}`;
        reject(this.#fail(new StreamResetError(reason, { cause })));
      });
    });
  }

  closeWrite(): void {
    if (this.#lingers || this.#failure !== null) return;
    this.#lingers = true;
    this.#waitForInput();
  }

  reset(reason?: unknown): void {
    this.#fail(reason instanceof StreamResetError ? reason : new StreamResetError(undefined, { cause: reason }));
    this.#onClosed();
  }

  close(): void {
    this.reset(new StreamResetError("The connection is closed"));
  }

  /** The count of bytes that came, `null` at the end or when the rest is not waited for any longer. */
  async #readOnce(): Promise<number | null> {
    this.#waitForInput();
    try {
      return await new Promise<number | null>((resolve, reject) => {
        this.#waiting.read = reject;
        this.#endRead = () => resolve(null);
        this.#options.input.read(this.#buffer).then(resolve, (cause) => {
          reject(this.#fail(new StreamResetError(`Cannot read standard input: ${textOf(cause)}`, { cause })));
        });
      });
    } finally {
      clearTimeout(this.#timer);
      this.#endRead = null;
    }
  }

  #waitForInput(): void {
    if (!this.#lingers) return;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#endRead?.(), this.#options.lingerMs);
  }

  async #writeAll(bytes: Uint8Array): Promise<void> {
    const { output } = this.#options;
    for (let at = 0; at < bytes.length;) at += await output.write(at === 0 ? bytes : bytes.subarray(at));
  }

  #fail(error: StreamResetError): StreamResetError {
    if (this.#failure !== null) return this.#failure;
    this.#failure = error;
    clearTimeout(this.#timer);
    this.#waiting.read?.(error);
    this.#waiting.write?.(error);
    return error;
  }
}

function textOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
