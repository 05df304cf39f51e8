import type { Duplex, MaybePromise } from "../../duplex.ts";
import { type Hop, type RequestHop, stripRequest, stripResponse } from "../hop_by_hop.ts";
import { HttpReader } from "../http_reader.ts";
import { HEADROOM_BYTES } from "../../../protocol/allocate.ts";
import { CodedError, StreamResetError, toCodedError } from "../../../protocol/errors.ts";
import { type Framing, hasBody, requestFraming, responseFraming } from "../../../protocol/http/framing.ts";
import { parseRequestHead, parseResponseHead, type RequestHead } from "../../../protocol/http/head.ts";
import { latin1Bytes } from "../../../protocol/http/serialise.ts";
import { type EdgeAnswer, edgeAnswerBytes } from "./edge_answer.ts";
import type { HttpRoute, HttpVisitorContext, TakenConnect, UpstreamStream } from "./http_context.ts";
import { finalHead, isInterim } from "./interim_answers.ts";
import { maySendAgain, NoAnswerError, readFirstHead } from "./no_answer.ts";
import { isChunked, outgoingRequest, outgoingResponse } from "./outgoing_heads.ts";
import { errorPage } from "./pages.ts";
import { RequestPump } from "./request_pump.ts";
import { relayResponse } from "./response_relay.ts";
import { type CompiledHttpOptions, editedRequest } from "./rule_options.ts";
import { type Answer, chosenProtocols, isSwitch, pipeSwitched, writeSwitch } from "./switch_protocols.ts";
import { acquireStream, authenticatesConnection, finishPinned, giveBack, takePinned } from "./upstream_loan.ts";
import { type Asker, forwardedFor, type VisitorConnection, whoAsks } from "./visitor_connection.ts";

/** How an exchange leaves the visitor's connection. */
export type Outcome =
  /** Ready for the next request. */
  | "again"
  /** The answer is complete and was the last. */
  | "close"
  /** Reset, or piped to its end. */
  | "gone";

/** What goes to the target first. */
interface Sending {
  readonly text: string;
  readonly address: string;
}

const CONTINUE: Uint8Array = latin1Bytes("HTTP/1.1 100 Continue\r\n\r\n");
/** A visitor that still sends after its last answer gets so long to read it. */
const LINGER_MS = 5_000;

/** One request of a visitor and its answer. */
export class HttpExchange {
  readonly #connection: VisitorConnection;
  readonly #visitor: Duplex;
  readonly #context: HttpVisitorContext;
  #request: RequestHead | undefined;
  #asker: Asker | undefined;
  #hop: RequestHop | undefined;
  #framing: Framing = { kind: "none" };
  #pump: RequestPump | undefined;
  #stream: UpstreamStream | undefined;
  #wasPinned = false;
  /** Whether an answer is on its way to the visitor: from then on a failure can only be a reset. */
  #answering = false;
  #status: number | undefined;
  /** Why we cut the exchange ourselves; what the cut connections then say is not the reason. */
  #cause: CodedError | undefined;

  constructor(connection: VisitorConnection) {
    this.#connection = connection;
    this.#visitor = connection.visitor;
    this.#context = connection.context;
  }

  /** Answers the request with this head. Never rejects. */
  async run(text: string): Promise<Outcome> {
    let outcome: Outcome;
    let error: CodedError | undefined;
    try {
      this.#context.deadline.replace(this.#context.limits.stallMs, this.#onStall);
      outcome = await this.#exchange(text);
    } catch (cause) {
      error = this.#cause ?? toCodedError(cause);
      const { host, method } = this.#request ?? {};
      this.#context.log.debug("exchange failed", { code: error.code, error: error.message, host, method });
      outcome = await this.#fail(error);
    }
    const visitor = this.#asker?.address ?? this.#context.address;
    this.#context.onExchange?.({ host: this.#request?.host, visitor, status: this.#status, error });
    return outcome;
  }

  /** The visitor has gone: nobody waits for the answer. */
  abandon(): void {
    this.#cut(new StreamResetError("The visitor has gone"));
  }

  #exchange(text: string): Promise<Outcome> {
    const context = this.#context;
    const head = this.#request = parseRequestHead(text);
    this.#framing = requestFraming(head);
    const asker = this.#asker = whoAsks(this.#connection, head.fields);
    const { address, proto } = asker;
    const taken = head.method === "CONNECT" ? context.takeConnect?.({ head, address }) : undefined;
    if (taken !== undefined) return this.#handOver(taken);
    this.#hop = stripRequest(head);
    if (head.host === undefined) throw new CodedError("BAD_REQUEST", "There is no Host");
    const decision = context.route({ host: head.host, head, address, proto });
    if (decision.kind === "refused") throw decision.error;
    if (decision.kind === "answer") return this.#answer(decision.answer);
    const { route } = decision;
    if (route.options !== undefined) return this.#forwardWith(route.options, route, asker);
    return this.#forward(route, { text: this.#outgoing(route, head, asker), address });
  }

  /** From now on the connection is somebody else's, who bounds its waits, and no request is read from it any more (security R44). */
  async #handOver(taken: TakenConnect): Promise<Outcome> {
    this.#answering = true;
    finishPinned(this.#connection);
    this.#context.deadline.replace(Infinity);
    await taken(this.#connection.reader.rest());
    return "gone";
  }

  /** The same for a rule with options, which may ask for a password or answer at once. */
  async #forwardWith(options: CompiledHttpOptions, route: HttpRoute, asker: Asker): Promise<Outcome> {
    const head = this.#request as RequestHead;
    const checked = options.auth?.check(head.fields, asker.address);
    if (checked !== undefined) await checked;
    if (this.#cause !== undefined) throw this.#cause;
    if (options.redirect !== undefined) return await this.#answer(options.redirect(head));
    const edited = editedRequest(head, this.#framing, options);
    return await this.#forward(route, { text: this.#outgoing(route, edited, asker), address: asker.address });
  }

  /** The head for the target. */
  #outgoing(route: HttpRoute, head: RequestHead, asker: Asker): string {
    const framing = this.#framing;
    return outgoingRequest(head, {
      framing,
      forwarded: forwardedFor(asker, this.#connection, {
        head: this.#request as RequestHead,
        host: route.forwardedHost,
      }),
      hostHeader: route.hostHeader,
      upgrade: hasBody(framing) ? undefined : this.#hop?.upgrade,
      acceptsTrailers: this.#hop?.acceptsTrailers === true,
    });
  }

  async #forward(route: HttpRoute, { text, address }: Sending): Promise<Outcome> {
    const pinned = takePinned(this.#connection, route);
    this.#wasPinned = pinned !== undefined;
    const lent = pinned ?? acquireStream(route, this.#connection, { fresh: false, address });
    const stream = lent instanceof Promise ? await lent : lent;
    const sentBefore = stream.sent;
    this.#borrow(stream);
    let sending = true;
    try {
      const sent = hasBody(this.#framing) ? this.#sendWithBody(route, stream, text) : sendHead(stream, text);
      if (sent instanceof Promise) await sent;
      sending = false;
      return await this.#receive(route, stream);
    } catch (error) {
      const unanswered = error instanceof NoAnswerError || (sending && error instanceof StreamResetError);
      const { method = "" } = this.#request ?? {};
      if (!unanswered || this.#cause !== undefined) throw error;
      if (!maySendAgain({ stream, sentBefore, method, pump: this.#pump })) throw error;
    }
    return await this.#sendAgain(route, { text, address });
  }

  async #sendAgain(route: HttpRoute, { text, address }: Sending): Promise<Outcome> {
    // After the clean end of a stream its channel is as good as new.
    if (this.#stream?.finWritten === undefined) this.#stream?.reset();
    else this.#stream.finish();
    this.#stream = undefined;
    this.#wasPinned = false;
    const stream = await acquireStream(route, this.#connection, { fresh: true, address });
    this.#borrow(stream);
    if (this.#pump === undefined) await sendHead(stream, text);
    else await this.#pump.replay(stream, text);
    return await this.#receive(route, stream);
  }

  #borrow(stream: UpstreamStream): void {
    this.#stream = stream;
    // While we waited for it, the reason to have it may have gone.
    if (this.#cause !== undefined) throw this.#cause;
  }

  async #sendWithBody({ options }: HttpRoute, stream: UpstreamStream, text: string): Promise<void> {
    const { reader } = this.#connection;
    const pump = this.#pump = new RequestPump(reader, this.#framing, {
      onProgress: this.#onProgress,
      onFailure: (error) => this.#cut(toCodedError(error)),
      maxBytes: options?.maxBodyBytes,
      keepsTrailer: options?.requestFields?.keeps,
    });
    if (this.#hop?.expectsContinue && reader.buffered === 0) {
      await stream.opened();
      await this.#visitor.write(CONTINUE);
    }
    await pump.start(stream, text);
  }

  async #receive(route: HttpRoute, stream: UpstreamStream): Promise<Outcome> {
    const reader = new HttpReader(stream, "response");
    const text = await readFirstHead(reader);
    this.#onProgress();
    let head = parseResponseHead(text);
    if (isInterim(head)) {
      const { version = "1.1" } = this.#request ?? {};
      head = await finalHead(head, { reader, visitor: this.#visitor, version, onProgress: this.#onProgress });
    }
    return await this.#respond(route, { head, reader, stream });
  }

  async #respond(route: HttpRoute, answer: Answer): Promise<Outcome> {
    const { head, reader, stream } = answer;
    const { method, version } = this.#request as RequestHead;
    const framing = responseFraming(head, method);
    const pinned = this.#wasPinned || authenticatesConnection(head.fields);
    const hop = stripResponse(head);
    if (isSwitch(head, method)) return await this.#switch(answer, hop);
    const keepAlive = this.#keepsAlive(framing);
    const upgrade = keepAlive && head.status === 426 ? hop.upgrade : undefined;
    const edits = route.options?.responseFields;
    edits?.apply(head.fields);
    this.#answering = true;
    const relayed = relayResponse(reader, this.#visitor, {
      framing,
      chunked: isChunked(framing, version),
      head: outgoingResponse(head, { framing, version, keepAlive, upgrade }),
      onProgress: this.#onProgress,
      keepsTrailer: edits?.keeps,
    });
    if (relayed instanceof Promise) await relayed;
    this.#status = head.status;
    this.#stream = undefined;
    giveBack(stream, this.#connection, {
      clean: (this.#pump?.sent ?? true) && reader.buffered === 0,
      reusable: hop.keepAlive && framing.kind !== "close",
      pinnedTo: pinned ? route : undefined,
    });
    return keepAlive ? "again" : await this.#lastAnswer();
  }

  async #switch(answer: Answer, hop: Hop): Promise<Outcome> {
    const upgrade = chosenProtocols(answer.head, hop, hasBody(this.#framing) ? undefined : this.#hop?.upgrade);
    this.#answering = true;
    await writeSwitch(answer, this.#visitor, upgrade);
    this.#status = answer.head.status;
    await pipeSwitched(this.#connection, answer.stream);
    return "gone";
  }

  async #answer(answer: EdgeAnswer, { last = false }: { last?: boolean } = {}): Promise<Outcome> {
    const { method = "GET", version = "1.1" } = this.#request ?? {};
    const keepAlive = !last && this.#keepsAlive({ kind: "none" });
    this.#answering = true;
    this.#onProgress();
    await this.#visitor.write(edgeAnswerBytes(answer, { method, version, keepAlive }));
    this.#status = answer.status;
    return keepAlive ? "again" : await this.#lastAnswer();
  }

  /** Nothing more will be read as a request. */
  async #lastAnswer(): Promise<Outcome> {
    if (this.#pump === undefined) return "close";
    if (!this.#pump.complete) {
      this.#context.deadline.replace(LINGER_MS, () => this.#visitor.reset());
      await this.#visitor.closeWrite();
    }
    await this.#pump.stop();
    return "close";
  }

  async #fail(error: CodedError): Promise<Outcome> {
    this.#stream?.reset(error);
    this.#stream = undefined;
    if (!this.#answering && !this.#connection.gone) {
      try {
        const malformed = this.#hop === undefined || error.kind === "BAD_REQUEST";
        return await this.#answer(errorPage(error, this.#request?.fields.get("accept")), { last: malformed });
      } catch {
        // The visitor does not take the page; the reset below says as much.
      }
    }
    this.#visitor.reset(error);
    await this.#pump?.stop();
    return "gone";
  }

  readonly #onProgress = (): void => {
    this.#context.deadline.replace(this.#context.limits.stallMs);
  };

  readonly #onStall = (): void => {
    // The second time it is the visitor that takes nothing.
    if (this.#answering || this.#cause !== undefined) {
      this.#cut(new StreamResetError("No byte moved in time"));
      return this.#visitor.reset();
    }
    const error = this.#pump?.waitsForVisitor
      ? new CodedError("REQUEST_TIMEOUT", "The request body did not arrive in time")
      : new CodedError("TARGET_TIMEOUT");
    // Whoever waits for the stream fails now, and writes the page.
    this.#onProgress();
    this.#cut(error);
  };

  #cut(cause: CodedError): void {
    this.#cause ??= cause;
    this.#stream?.reset(cause);
  }

  /** Whether another request can follow on the visitor's connection, when the answer to this one has this framing. */
  #keepsAlive(answer: Framing): boolean {
    const { version } = this.#request ?? {};
    if (!this.#hop?.keepAlive || this.#context.draining.begun) return false;
    // HTTP/1.0 sees the end of such a body by the end of the connection.
    if (version === "1.0" && (answer.kind === "chunked" || answer.kind === "close")) return false;
    // A body that is still coming may never end: nobody waits for it behind a complete answer.
    if (this.#pump === undefined ? hasBody(this.#framing) : !this.#pump.sent) return false;
    // What came behind the head of a refused upgrade may be of another protocol.
    const switching = this.#hop.upgrade !== undefined || this.#request?.method === "CONNECT";
    return !switching || this.#connection.reader.buffered === 0;
  }
}

/** Sends a head whose frame header goes right in front of it. */
function sendHead(stream: Duplex, text: string): MaybePromise<void> {
  return stream.write(latin1Bytes(text), HEADROOM_BYTES);
}
