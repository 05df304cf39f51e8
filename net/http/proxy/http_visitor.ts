import type { Drainable } from "../../drain.ts";
import type { Duplex } from "../../duplex.ts";
import { canonicalAddress } from "../forwarded.ts";
import { HttpReader } from "../http_reader.ts";
import { lingeringClose } from "../lingering_close.ts";
import type { Fields } from "../../../protocol/http/field.ts";
import { CodedError, StreamResetError, toCodedError } from "../../../protocol/errors.ts";
import { edgeAnswerBytes } from "./edge_answer.ts";
import type { HttpVisitorContext, UpstreamStream } from "./http_context.ts";
import { HttpExchange, type Outcome } from "./http_exchange.ts";
import { errorPage } from "./pages.ts";
import { finishPinned } from "./upstream_loan.ts";
import type { VisitorConnection } from "./visitor_connection.ts";

/** Who was told that nothing more comes gets so long to close. */
const LINGER_MS = 5_000;

/**
 * Serves the HTTP/1.1 requests of one visitor's connection, one after the other, each routed by its own Host. Settles when the
 * connection has ended; never rejects.
 */
export function serveHttpVisitor(visitor: Duplex, context: HttpVisitorContext): Promise<void> {
  return new HttpVisitor(visitor, context).run();
}

/** Most visitors are idle most of the time, and there may be twenty thousand: what only a busy or an ending one needs is made then. */
class HttpVisitor implements VisitorConnection, Drainable {
  readonly visitor: Duplex;
  readonly reader: HttpReader;
  readonly context: HttpVisitorContext;
  readonly peer: string;
  readonly trusted: boolean;
  gone = false;
  pinned: { readonly key: unknown; readonly stream: UpstreamStream } | undefined;
  forwarded: { readonly key: string; readonly fields: Fields } | undefined;
  #abort: AbortController | undefined;
  #exchange: HttpExchange | undefined;
  /** Whether we have said that nothing more comes: what fails from now on is of no interest. */
  #ending = false;

  constructor(visitor: Duplex, context: HttpVisitorContext) {
    this.visitor = visitor;
    this.context = context;
    this.reader = new HttpReader(visitor, "request", () => this.#onPartialHead());
    this.peer = canonicalAddress(context.address) ?? context.address;
    this.trusted = context.trustedProxies(this.peer);
  }

  get signal(): AbortSignal {
    this.#abort ??= new AbortController();
    if (this.gone) this.#abort.abort();
    return this.#abort.signal;
  }

  async run(): Promise<void> {
    this.#begin();
    try {
      for (;;) {
        const next = this.reader.readHead();
        const text = next instanceof Promise ? await next : next;
        if (text === null || this.#ending) break;
        const outcome = await this.#answer(text);
        if (outcome === "gone") return;
        if (outcome === "close") break;
        this.#awaitRequest(this.context.limits.keepAliveMs);
        if (this.context.draining.begun && this.reader.buffered === 0) break;
      }
      await this.#linger();
    } catch (error) {
      await this.#fail(toCodedError(error));
    } finally {
      this.#finish();
    }
  }

  /** Idle: the visitor sees a clean end. In an exchange: its answer will say that it is the last. */
  drain(): void {
    if (this.#exchange === undefined && this.reader.buffered === 0) void this.#end();
  }

  #begin(): void {
    const { draining, limits } = this.context;
    void this.visitor.closed.then(() => this.#onGone());
    draining.join(this);
    this.#awaitRequest(limits.firstByteMs);
    // A handshake may have begun before the drain and ended behind it.
    if (draining.begun) this.drain();
  }

  #finish(): void {
    this.context.draining.leave(this);
    try {
      finishPinned(this);
      this.visitor.close();
    } finally {
      this.context.onEnd?.();
    }
  }

  async #answer(text: string): Promise<Outcome> {
    const exchange = this.#exchange = new HttpExchange(this);
    const outcome = await exchange.run(text);
    this.#exchange = undefined;
    return outcome;
  }

  #awaitRequest(ms: number): void {
    this.context.deadline.replace(ms, () => void this.#end());
  }

  #onPartialHead(): void {
    const slow = (): void => void this.#sayLast(new CodedError("REQUEST_TIMEOUT"));
    this.context.deadline.replace(this.context.limits.headMs, slow);
  }

  /** A head that never became a request. */
  async #fail(error: CodedError): Promise<void> {
    if (error instanceof StreamResetError) return this.visitor.reset(error);
    if (this.#ending) return;
    const { log, address } = this.context;
    log.debug("request refused", { code: error.code, error: error.message, visitor: address });
    await this.#sayLast(error);
    this.context.onExchange?.({ host: undefined, visitor: address, status: undefined, error });
    await lingeringClose(this.visitor);
  }

  async #sayLast(error: CodedError): Promise<void> {
    this.#ending = true;
    this.#boundLinger();
    try {
      const page = errorPage(error, undefined);
      await this.visitor.write(edgeAnswerBytes(page, { method: "GET", version: "1.1", keepAlive: false }));
      await this.visitor.closeWrite();
    } catch {
      // The visitor has gone: it does not want to know.
    }
  }

  async #end(): Promise<void> {
    if (this.#ending) return;
    this.#ending = true;
    this.#boundLinger();
    try {
      await this.visitor.closeWrite();
    } catch {
      // The connection has ended by itself.
    }
  }

  async #linger(): Promise<void> {
    this.#boundLinger();
    await lingeringClose(this.visitor);
  }

  #boundLinger(): void {
    this.context.deadline.replace(LINGER_MS, () => this.visitor.reset());
  }

  #onGone(): void {
    this.gone = true;
    this.#abort?.abort();
    this.#exchange?.abandon();
  }
}
