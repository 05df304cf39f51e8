import type { Duplex, MaybePromise } from "../../duplex.ts";
import { forwardedFields, visitorAddress, visitorProto } from "../forwarded.ts";
import { type Hop, type RequestHop, stripRequest, stripResponse } from "../hop_by_hop.ts";
import { HttpReader } from "../http_reader.ts";
import { pipe } from "../../pipe.ts";
import { HEADROOM_BYTES } from "../../../protocol/allocate.ts";
import { CodedError, StreamResetError, toCodedError } from "../../../protocol/errors.ts";
import type { Fields } from "../../../protocol/http/field.ts";
import { type Framing, requestFraming, responseFraming } from "../../../protocol/http/framing.ts";
import {
  parseRequestHead,
  parseResponseHead,
  type RequestHead,
  type ResponseHead,
} from "../../../protocol/http/head.ts";
import { latin1Bytes } from "../../../protocol/http/serialise.ts";
import { type EdgeAnswer, edgeAnswerBytes } from "./edge_answer.ts";
import { framedWrites } from "./framed_writes.ts";
import type { HttpRoute, HttpVisitorContext, TakenConnect, UpstreamStream } from "./http_context.ts";
import { maySendAgain, NoAnswerError, readFirstHead } from "./no_answer.ts";
import { isChunked, outgoingRequest, outgoingResponse } from "./outgoing_heads.ts";
import { errorPage } from "./pages.ts";
import { RequestPump } from "./request_pump.ts";
import { relayResponse } from "./response_relay.ts";
import { type CompiledHttpOptions, editedRequest } from "./rule_options.ts";

/** How an exchange leaves the visitor's connection. */
export type Outcome =
  /** Ready for the next request. */
  | "again"
  /** The answer is complete and was the last. */
  | "close"
  /** Reset, or piped to its end. */
  | "gone";

/** What all exchanges on one connection share. */
export interface VisitorConnection {
  readonly visitor: Duplex;
  readonly reader: HttpReader;
  readonly context: HttpVisitorContext;
  /** The connection's other end in canonical form, and whether it is a proxy that is believed. */
  readonly peer: string;
  readonly trusted: boolean;
  /** Aborted when the visitor has gone. */
  readonly gone: AbortSignal;
  /** The stream that belongs to this visitor alone, since its target authenticated the connection. */
  pinned: { readonly key: unknown; readonly stream: UpstreamStream } | undefined;
  /** The fields for the target, which are the same for all requests to one host. */
  forwarded: { readonly key: string; readonly fields: Fields } | undefined;
}

/** Whose request it is. */
interface Asker {
  readonly address: string;
  readonly proto: "http" | "https";
}

/** What goes to the target first. */
interface Sending {
  readonly text: string;
  readonly address: string;
}

/** What came from the target so far. */
interface Answer {
  readonly head: ResponseHead;
  readonly reader: HttpReader;
  readonly stream: UpstreamStream;
}

const CONTINUE: Uint8Array = latin1Bytes("HTTP/1.1 100 Continue\r\n\r\n");
/** Interim answers of one exchange: nobody has use for more. */
const MAX_INTERIM_ANSWERS = 16;
/** A visitor that still sends after its last answer gets so long to read it. */
const LINGER_MS = 5_000;
/** Schemes that authenticate the connection, not the request (RFC 4559 6). */
const CONNECTION_AUTHENTICATION = /^(?:ntlm|negotiate)\b/i;

/** One request of a visitor and its answer. */
export class HttpExchange {
  readonly #connection: VisitorConnection;
  readonly #visitor: Duplex;
  readonly #context: HttpVisitorContext;
  #request: RequestHead | undefined;
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
    this.#context.onExchange?.({ host: this.#request?.host, status: this.#status, error });
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
    const { address, proto } = this.#whoAsks(head.fields);
    const taken = head.method === "CONNECT" ? context.takeConnect?.({ head, address }) : undefined;
    if (taken !== undefined) return this.#handOver(taken);
    this.#hop = stripRequest(head);
    if (head.host === undefined) throw new CodedError("BAD_REQUEST", "There is no Host");
    const decision = context.route({ host: head.host, head, address, proto });
    if (decision.kind === "refused") throw decision.error;
    if (decision.kind === "answer") return this.#answer(decision.answer);
    const { route } = decision;
    if (route.options !== undefined) return this.#forwardWith(route.options, route, { address, proto });
    return this.#forward(route, { text: this.#outgoing(route, head, { address, proto }), address });
  }

  /** From now on the connection is somebody else's, who bounds its waits, and no request is read from it any more (security R44). */
  async #handOver(taken: TakenConnect): Promise<Outcome> {
    this.#answering = true;
    this.#connection.pinned?.stream.finish();
    this.#connection.pinned = undefined;
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
  #outgoing(route: HttpRoute, head: RequestHead, { address, proto }: Asker): string {
    const framing = this.#framing;
    return outgoingRequest(head, {
      framing,
      forwarded: this.#forwarded(address, proto),
      hostHeader: route.hostHeader,
      upgrade: hasBody(framing) ? undefined : this.#hop?.upgrade,
      acceptsTrailers: this.#hop?.acceptsTrailers === true,
    });
  }

  async #forward(route: HttpRoute, { text, address }: Sending): Promise<Outcome> {
    const lent = this.#acquire(route, { fresh: false, address });
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
    const stream = await this.#acquire(route, { fresh: true, address });
    this.#borrow(stream);
    if (this.#pump === undefined) await sendHead(stream, text);
    else await this.#pump.replay(stream, text);
    return await this.#receive(route, stream);
  }

  #acquire(route: HttpRoute, { fresh, address }: { fresh: boolean; address: string }): MaybePromise<UpstreamStream> {
    const { pinned, gone } = this.#connection;
    this.#connection.pinned = undefined;
    this.#wasPinned = pinned !== undefined && pinned.key === route.key && !fresh;
    if (pinned !== undefined && this.#wasPinned) return pinned.stream;
    pinned?.stream.finish();
    // The port is that of the connection, so it says nothing about a visitor whom a proxy named.
    const port = address === this.#connection.peer ? this.#context.port ?? 0 : 0;
    return route.acquire({ fresh, address, port, signal: gone });
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
    let text: string | null = await readFirstHead(reader);
    for (let interim = 0; text !== null && interim < MAX_INTERIM_ANSWERS; interim++) {
      this.#onProgress();
      const head = parseResponseHead(text);
      if (head.status === 101 || head.status >= 200) return await this.#respond(route, { head, reader, stream });
      if (head.status === 103 && this.#request?.version === "1.1") await this.#forwardHints(head);
      text = await reader.readHead();
    }
    if (text === null) throw new CodedError("TARGET_CLOSED");
    throw new CodedError("TARGET_BAD_RESPONSE", `There are more than ${MAX_INTERIM_ANSWERS} interim answers`);
  }

  async #forwardHints(head: ResponseHead): Promise<void> {
    stripResponse(head);
    const options = { framing: { kind: "none" }, version: "1.1", keepAlive: true, upgrade: undefined } as const;
    await this.#visitor.write(latin1Bytes(outgoingResponse(head, options)));
  }

  async #respond(route: HttpRoute, answer: Answer): Promise<Outcome> {
    const { head, reader, stream } = answer;
    const { method, version } = this.#request as RequestHead;
    const framing = responseFraming(head, method);
    const pinned = this.#wasPinned || authenticatesConnection(head.fields);
    const hop = stripResponse(head);
    if (head.status === 101 || (method === "CONNECT" && head.status < 300)) return await this.#switch(answer, hop);
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
    this.#giveBack(stream, {
      clean: (this.#pump?.sent ?? true) && reader.buffered === 0,
      reusable: hop.keepAlive && framing.kind !== "close",
      pinnedTo: pinned ? route : undefined,
    });
    return keepAlive ? "again" : await this.#lastAnswer();
  }

  #giveBack(stream: UpstreamStream, { clean, reusable, pinnedTo }: Returned): void {
    this.#stream = undefined;
    // An answer that ended before its request, or was followed by more than it said: both sides are closed.
    if (!clean) stream.reset(new StreamResetError("The answer does not fit its request"));
    else if (!reusable) stream.finish();
    else if (pinnedTo !== undefined) this.#connection.pinned = { key: pinnedTo.key, stream };
    else stream.release();
  }

  /** From now on the two are a plain pipe, which never returns to a pool (security R44). */
  async #switch({ head, reader, stream }: Answer, hop: Hop): Promise<Outcome> {
    const upgrade = head.status === 101 ? hop.upgrade : undefined;
    if (head.status === 101 && (hasBody(this.#framing) || !isAmong(upgrade, this.#hop?.upgrade))) {
      throw new CodedError("TARGET_BAD_RESPONSE", "The target switched to a protocol that was not asked for");
    }
    const text = outgoingResponse(head, { framing: { kind: "none" }, version: "1.1", keepAlive: true, upgrade });
    const pieces = reader.buffered > 0 ? [reader.rest()] : [];
    this.#answering = true;
    for (const buffer of framedWrites({ head: text, pieces, chunked: false, end: false, trailers: undefined })) {
      await this.#visitor.write(buffer);
    }
    this.#status = head.status;
    // What the visitor sent too early was kept until the target had agreed.
    const early = this.#connection.reader.rest();
    if (early.length > 0) await stream.write(early);
    this.#context.deadline.replace(Infinity);
    try {
      await pipe(this.#visitor, stream, { lingerMs: this.#context.limits.lingerMs });
    } catch {
      // Both sides were reset, which is all that the cut of a pipe means.
    }
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
    if (!this.#answering && !this.#connection.gone.aborted) {
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
    if (!this.#hop?.keepAlive || this.#context.draining.aborted) return false;
    // HTTP/1.0 sees the end of such a body by the end of the connection.
    if (version === "1.0" && (answer.kind === "chunked" || answer.kind === "close")) return false;
    // A body that is still coming may never end: nobody waits for it behind a complete answer.
    if (this.#pump === undefined ? hasBody(this.#framing) : !this.#pump.sent) return false;
    // What came behind the head of a refused upgrade may be of another protocol.
    const switching = this.#hop.upgrade !== undefined || this.#request?.method === "CONNECT";
    return !switching || this.#connection.reader.buffered === 0;
  }

  /** Looks into forwarding fields only behind a trusted proxy. */
  #whoAsks(fields: Fields): Asker {
    const { peer, trusted, context } = this.#connection;
    if (!trusted) return { address: peer, proto: context.proto };
    const facts = { peer, fields, trustedProxies: context.trustedProxies };
    return { address: visitorAddress(facts), proto: visitorProto(facts, context.proto) };
  }

  #forwarded(address: string, proto: "http" | "https"): Fields {
    const { fields, host: canonical = "" } = this.#request as RequestHead;
    const host = fields.get("host") ?? canonical;
    const key = `${address} ${proto} ${host}`;
    if (this.#connection.forwarded?.key !== key) {
      this.#connection.forwarded = { key, fields: forwardedFields({ address, proto, host }) };
    }
    return this.#connection.forwarded.fields;
  }
}

interface Returned {
  readonly clean: boolean;
  readonly reusable: boolean;
  readonly pinnedTo: HttpRoute | undefined;
}

function hasBody(framing: Framing): boolean {
  return framing.kind === "chunked" || (framing.kind === "length" && framing.length > 0);
}

function authenticatesConnection(fields: Fields): boolean {
  for (const { key, value } of fields) {
    if (key === "www-authenticate" && CONNECTION_AUTHENTICATION.test(value)) return true;
  }
  return false;
}

/** Whether all protocols that were chosen had been offered. */
function isAmong(chosen: string | undefined, offered: string | undefined): boolean {
  if (chosen === undefined || offered === undefined) return false;
  const names = new Set(offered.toLowerCase().split(",").map((name) => name.trim()));
  return chosen.toLowerCase().split(",").every((name) => names.has(name.trim()));
}

/** Sends a head whose frame header goes right in front of it. */
function sendHead(stream: Duplex, text: string): MaybePromise<void> {
  return stream.write(latin1Bytes(text), HEADROOM_BYTES);
}
