import type { Duplex } from "../../duplex.ts";
import { canonicalAddress } from "../forwarded.ts";
import { HttpReader } from "../http_reader.ts";
import { lingeringClose } from "../lingering_close.ts";
import { CodedError, StreamResetError, toCodedError } from "../../../protocol/errors.ts";
import { edgeAnswerBytes } from "./edge_answer.ts";
import type { HttpVisitorContext } from "./http_context.ts";
import { HttpExchange } from "./http_exchange.ts";
import { errorPage } from "./pages.ts";
import { finishPinned } from "./upstream_loan.ts";
import type { VisitorConnection } from "./visitor_connection.ts";

/** Who was told that nothing more comes gets so long to close. */
const LINGER_MS = 5_000;

/**
 * Serves the HTTP/1.1 requests of one visitor's connection, one after the other, each routed by its own Host. Settles when the
 * connection has ended; never rejects.
 */
export async function serveHttpVisitor(visitor: Duplex, context: HttpVisitorContext): Promise<void> {
  await new HttpVisitor(visitor, context).run();
}

class HttpVisitor {
  readonly #visitor: Duplex;
  readonly #context: HttpVisitorContext;
  readonly #connection: VisitorConnection;
  readonly #gone = new AbortController();
  #exchange: HttpExchange | undefined;
  /** Whether we have said that nothing more comes: what fails from now on is of no interest. */
  #ending = false;

  constructor(visitor: Duplex, context: HttpVisitorContext) {
    this.#visitor = visitor;
    this.#context = context;
    const reader = new HttpReader(
      visitor,
      "request",
      () => context.deadline.replace(context.limits.headMs, this.#onSlowHead),
    );
    const peer = canonicalAddress(context.address) ?? context.address;
    this.#connection = {
      visitor,
      reader,
      context,
      peer,
      trusted: context.trustedProxies(peer),
      gone: this.#gone.signal,
      pinned: undefined,
      forwarded: undefined,
    };
  }

  async run(): Promise<void> {
    const { draining, deadline, limits } = this.#context;
    void this.#visitor.closed.then(() => this.#onGone());
    draining.addEventListener("abort", this.#onDrain, { once: true });
    deadline.replace(limits.firstByteMs, this.#onIdle);
    // A handshake may have begun before the drain and ended behind it.
    if (draining.aborted) this.#onDrain();
    try {
      await this.#serve();
    } catch (error) {
      await this.#fail(toCodedError(error));
    } finally {
      draining.removeEventListener("abort", this.#onDrain);
      finishPinned(this.#connection);
      this.#visitor.close();
    }
  }

  async #serve(): Promise<void> {
    const { reader } = this.#connection;
    for (;;) {
      const next = reader.readHead();
      const text = next instanceof Promise ? await next : next;
      if (text === null || this.#ending) break;
      this.#exchange = new HttpExchange(this.#connection);
      const outcome = await this.#exchange.run(text);
      this.#exchange = undefined;
      if (outcome === "gone") return;
      if (outcome === "close") break;
      this.#context.deadline.replace(this.#context.limits.keepAliveMs, this.#onIdle);
      if (this.#context.draining.aborted && reader.buffered === 0) break;
    }
    this.#context.deadline.replace(LINGER_MS, this.#onLingered);
    await lingeringClose(this.#visitor);
  }

  /** A head that never became a request. */
  async #fail(error: CodedError): Promise<void> {
    if (error instanceof StreamResetError) return this.#visitor.reset(error);
    if (this.#ending) return;
    this.#context.log.debug("request refused", {
      code: error.code,
      error: error.message,
      visitor: this.#context.address,
    });
    await this.#sayLast(error);
    this.#context.onExchange?.({ host: undefined, status: undefined, error });
    await lingeringClose(this.#visitor);
  }

  async #sayLast(error: CodedError): Promise<void> {
    this.#ending = true;
    this.#context.deadline.replace(LINGER_MS, this.#onLingered);
    try {
      const page = errorPage(error, undefined);
      await this.#visitor.write(edgeAnswerBytes(page, { method: "GET", version: "1.1", keepAlive: false }));
      await this.#visitor.closeWrite();
    } catch {
      // The visitor has gone: it does not want to know.
    }
  }

  readonly #onSlowHead = (): void => {
    void this.#sayLast(new CodedError("REQUEST_TIMEOUT"));
  };

  readonly #onIdle = (): void => {
    void this.#end();
  };

  /** Idle: the visitor sees a clean end. In an exchange: its answer will say that it is the last. */
  readonly #onDrain = (): void => {
    if (this.#exchange === undefined && this.#connection.reader.buffered === 0) void this.#end();
  };

  readonly #onLingered = (): void => {
    this.#visitor.reset();
  };

  async #end(): Promise<void> {
    if (this.#ending) return;
    this.#ending = true;
    this.#context.deadline.replace(LINGER_MS, this.#onLingered);
    try {
      await this.#visitor.closeWrite();
    } catch {
      // The connection has ended by itself.
    }
  }

  #onGone(): void {
    this.#gone.abort();
    this.#exchange?.abandon();
  }
}
