import { CodedError } from "../../protocol/errors.ts";
import { bodyDecoder } from "../../protocol/http/body.ts";
import type { BodyDecoder } from "../../protocol/http/body_decoder.ts";
import { type Framing, requestFraming } from "../../protocol/http/framing.ts";
import type { RequestHead } from "../../protocol/http/head.ts";
import type { HttpReader } from "./http_reader.ts";

/** What the body of a request needs of its connection. */
export interface FetchBodyOptions {
  readonly maxBodyBytes: number;
  /** Called once when somebody starts to read, which is when a `100 Continue` is due. */
  readonly onStart: () => Promise<void>;
  /** Called for each piece that came. */
  readonly onProgress: () => void;
}

/** The body of one request: read on demand, counted, and drained or given up at the end. */
export class FetchBody {
  readonly stream: ReadableStream<Uint8Array<ArrayBuffer>> | null;
  readonly #reader: HttpReader;
  readonly #decoder: BodyDecoder;
  readonly #options: FetchBodyOptions;
  #started = false;
  #size = 0;
  #pulling: Promise<void> = Promise.resolve();

  constructor(reader: HttpReader, head: RequestHead, options: FetchBodyOptions) {
    const framing = requestFraming(head);
    refuseTooLong(framing, options.maxBodyBytes);
    this.#reader = reader;
    this.#decoder = bodyDecoder(framing, "request");
    this.#options = options;
    this.stream = framing.kind === "none" ? null : this.#open();
  }

  /** Whether nobody waits for bytes any more, so that the next request can be read. */
  get done(): boolean {
    return this.#decoder.done;
  }

  /** Waits for a read that is under way, so that somebody else can read the connection. */
  async settle(): Promise<void> {
    await this.#pulling.catch(() => {
      // Whoever reads the stream was told.
    });
  }

  #open(): ReadableStream<Uint8Array<ArrayBuffer>> {
    return new ReadableStream({ pull: (controller) => this.#pulling = this.#pull(controller) }, { highWaterMark: 0 });
  }

  async #pull(controller: ReadableStreamDefaultController<Uint8Array<ArrayBuffer>>): Promise<void> {
    if (!this.#started) {
      this.#started = true;
      if (this.#reader.buffered === 0) await this.#options.onStart();
    }
    const pieces = await this.#reader.readBody(this.#decoder);
    if (pieces === null) return controller.close();
    this.#options.onProgress();
    for (const piece of pieces) {
      this.#size += piece.length;
      // The reader lends its bytes; the stream keeps them.
      controller.enqueue(piece.slice());
    }
    if (this.#size > this.#options.maxBodyBytes) throw tooLong(this.#options.maxBodyBytes);
  }
}

function refuseTooLong(framing: Framing, maxBodyBytes: number): void {
  if (framing.kind === "length" && framing.length > maxBodyBytes) throw tooLong(maxBodyBytes);
}

function tooLong(maxBodyBytes: number): CodedError {
  return new CodedError("LIMIT_EXCEEDED", `The request body is larger than ${maxBodyBytes} bytes`);
}
