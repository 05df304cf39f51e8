import assert from "node:assert/strict";
import { Deadline } from "../../../deadline.ts";
import { Drain } from "../../../drain.ts";
import type { Duplex, MaybePromise } from "../../../duplex.ts";
import { SILENT } from "../../../log.ts";
import { memoryPair, type MemoryPairOptions } from "../../../memory_duplex.ts";
import type { CodedError } from "../../../../protocol/errors.ts";
import { latin1 } from "../../../../protocol/http/latin1.ts";
import { latin1Bytes } from "../../../../protocol/http/serialise.ts";
import type { HttpOptions } from "../../../../protocol/http_options.ts";
import type {
  AcquireOptions,
  ExchangeFacts,
  HttpVisitorContext,
  RouteDecision,
  UpstreamStream,
} from "../http_context.ts";
import { compileHttpOptions } from "../rule_options.ts";
import { serveHttpVisitor } from "../http_visitor.ts";

/** One end of a conversation in text. */
export class Peer {
  readonly duplex: Duplex;
  #text = "";

  constructor(duplex: Duplex) {
    this.duplex = duplex;
  }

  async send(text: string): Promise<void> {
    await this.duplex.write(latin1Bytes(text));
  }

  async end(): Promise<void> {
    await this.duplex.closeWrite();
  }

  /** What comes until it matches, inclusive. */
  async until(pattern: RegExp): Promise<string> {
    for (;;) {
      const match = pattern.exec(this.#text);
      if (match !== null) {
        const end = match.index + match[0].length;
        const taken = this.#text.slice(0, end);
        this.#text = this.#text.slice(end);
        return taken;
      }
      const bytes = await this.duplex.read();
      assert.ok(bytes !== null, `the other end closed before ${pattern}; it had sent ${JSON.stringify(this.#text)}`);
      this.#text += latin1(bytes);
    }
  }

  head(): Promise<string> {
    return this.until(/\r\n\r\n/);
  }

  /** Everything up to the clean end. */
  async all(): Promise<string> {
    for (let bytes = await this.duplex.read(); bytes !== null; bytes = await this.duplex.read()) {
      this.#text += latin1(bytes);
    }
    return this.#text;
  }
}

/** A stream to a target, as the lender of streams would give it. */
export class FakeStream implements UpstreamStream {
  sent = 0;
  /** What the client says it gave to the target; seen once the end was read. */
  written: number | undefined;
  finWritten: number | undefined;
  reused = false;
  released = 0;
  finished = 0;
  wasReset = false;
  refusal: CodedError | undefined;
  readonly target: Peer;
  readonly #near: Duplex;
  readonly #onRelease: (stream: FakeStream) => void;

  constructor(options: MemoryPairOptions, onRelease: (stream: FakeStream) => void) {
    const [near, far] = memoryPair(options);
    this.#onRelease = onRelease;
    this.#near = near;
    this.target = new Peer(far);
  }

  get closed(): Promise<void> {
    return this.#near.closed;
  }

  opened(): Promise<void> {
    return this.refusal === undefined ? Promise.resolve() : Promise.reject(this.refusal);
  }

  read(): MaybePromise<Uint8Array | null> {
    if (this.refusal !== undefined) throw this.refusal;
    const bytes = this.#near.read();
    return bytes instanceof Promise ? bytes.then((each) => this.#seen(each)) : this.#seen(bytes);
  }

  write(bytes: Uint8Array): MaybePromise<void> {
    this.sent += bytes.length;
    return this.#near.write(bytes);
  }

  closeWrite(): MaybePromise<void> {
    return this.#near.closeWrite();
  }

  reset(reason?: unknown): void {
    this.wasReset = true;
    this.#near.reset(reason);
  }

  close(): void {
    this.#near.close();
  }

  release(): void {
    this.released++;
    this.reused = true;
    this.#onRelease(this);
  }

  finish(): void {
    this.finished++;
  }

  #seen(bytes: Uint8Array | null): Uint8Array | null {
    if (bytes === null) this.finWritten = this.written;
    return bytes;
  }
}

/** What differs from an edge that routes every host to a target of its own. */
export interface EdgeOptions extends Partial<Omit<HttpVisitorContext, "limits" | "route">> {
  readonly limits?: Partial<HttpVisitorContext["limits"]>;
  readonly hostHeader?: string;
  readonly options?: HttpOptions;
  readonly pair?: MemoryPairOptions;
  readonly decide?: (host: string, address: string) => RouteDecision | undefined;
  /** Prepares a stream before it is lent. */
  readonly onStream?: (stream: FakeStream, options: AcquireOptions) => MaybePromise<void>;
}

/** A visitor's connection to an edge whose routes all lead to scripted targets. */
export class Edge implements AsyncDisposable {
  readonly visitor: Peer;
  readonly streams: FakeStream[] = [];
  readonly exchanges: ExchangeFacts[] = [];
  readonly serving: Promise<void>;
  readonly #attached: FakeStream[] = [];
  readonly #deadline: Deadline;
  readonly #options: EdgeOptions;
  readonly #lent: PromiseWithResolvers<FakeStream>[] = [];

  constructor(options: EdgeOptions = {}) {
    this.#options = options;
    const compiled = compileHttpOptions(options.options);
    const [near, far] = memoryPair(options.pair);
    this.visitor = new Peer(far);
    this.#deadline = new Deadline(3_600_000, () => {});
    const context: HttpVisitorContext = {
      address: "203.0.113.9",
      proto: "http",
      log: SILENT,
      draining: new Drain(),
      trustedProxies: () => false,
      onExchange: (facts) => this.exchanges.push(facts),
      ...options,
      deadline: this.#deadline,
      limits: {
        firstByteMs: 60_000,
        headMs: 60_000,
        stallMs: 60_000,
        keepAliveMs: 60_000,
        lingerMs: 60_000,
        ...options.limits,
      },
      route: ({ host, address }) =>
        options.decide?.(host, address) ??
          {
            kind: "found",
            route: {
              key: host,
              hostHeader: options.hostHeader,
              options: compiled,
              acquire: (how) => this.#acquire(how),
            },
          },
    };
    this.serving = serveHttpVisitor(near, context);
  }

  /** The target of the `at`-th stream that was lent for the first time. */
  async target(at: number): Promise<Peer> {
    return (await this.#turn(at).promise).target;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.visitor.duplex.reset();
    await this.serving;
    this.#deadline[Symbol.dispose]();
  }

  async #acquire(options: AcquireOptions): Promise<UpstreamStream> {
    const attached = options.fresh ? undefined : this.#attached.pop();
    const stream = attached ?? new FakeStream(this.#options.pair ?? {}, (each) => this.#attached.push(each));
    if (attached === undefined) this.streams.push(stream);
    await this.#options.onStream?.(stream, options);
    if (attached === undefined) this.#turn(this.streams.length - 1).resolve(stream);
    return stream;
  }

  #turn(at: number): PromiseWithResolvers<FakeStream> {
    return this.#lent[at] ??= Promise.withResolvers();
  }
}
