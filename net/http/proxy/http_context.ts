import type { Deadline } from "../../deadline.ts";
import type { Drain } from "../../drain.ts";
import type { Duplex, MaybePromise } from "../../duplex.ts";
import type { Logger } from "../../log.ts";
import type { CodedError } from "../../../protocol/errors.ts";
import type { RequestHead } from "../../../protocol/http/head.ts";
import type { EdgeAnswer } from "./edge_answer.ts";
import type { CompiledHttpOptions } from "./rule_options.ts";

/**
 * A stream to a target that speaks HTTP/1.1, lent for one exchange. Its `read()` throws the refusal of a target that could not be
 * reached. The borrower ends the loan in exactly one way: `release()`, `finish()`, `reset()`, or by ending both directions.
 */
export interface UpstreamStream extends Duplex {
  /** Whether earlier exchanges used it: its target may just have closed it. */
  readonly reused: boolean;
  /** Bytes written to it so far, in all exchanges. */
  readonly sent: number;
  /** Once `read()` gave `null`: how many of those bytes the target was given (`written` of the client's `fin`). */
  readonly finWritten: number | undefined;
  /** Waits until the target was reached; nobody may read meanwhile. Rejects with its refusal. */
  opened(): Promise<void>;
  /** The exchange was clean and the target takes another one: back to the attached streams. */
  release(): void;
  /** The exchange was clean, but the target takes no more: the lender ends both directions. */
  finish(): void;
}

/** A visitor's connection, as far as it concerns those who lend streams to it: there is one for each connection. */
export interface VisitorLife {
  readonly gone: boolean;
  /** Aborted when it has gone; made on demand, as most streams do not belong to one visitor. */
  readonly signal: AbortSignal;
}

/** How a stream is wanted. */
export interface AcquireOptions {
  /** Not one that was used before: the first try failed because its target had closed it. */
  readonly fresh: boolean;
  /** The visitor's address, for the target's side. */
  readonly address: string;
  /** The visitor's port; 0 when a proxy in front has not told it. */
  readonly port: number;
  readonly visitor: VisitorLife;
}

/** Where the requests for a host go. */
export interface HttpRoute {
  /** The same for all routes to the same target (tunnel, rule, revision). */
  readonly key: unknown;
  /** Replaces the visitor's Host. */
  readonly hostHeader?: string | undefined;
  /** What the target is told that the visitor asked for. @default its Host */
  readonly forwardedHost?: string | undefined;
  /** What is done to its requests and answers; `undefined` costs nothing. */
  readonly options?: CompiledHttpOptions | undefined;
  /** Gives an attached or a new stream; rejects with the coded reason why there is none. */
  acquire(options: AcquireOptions): MaybePromise<UpstreamStream>;
}

/** What the router needs to decide. */
export interface RoutedRequest {
  /** Canonical. */
  readonly host: string;
  readonly head: RequestHead;
  /** The visitor's address: the peer's, or the one that a trusted proxy named. */
  readonly address: string;
  readonly proto: "http" | "https";
}

/** What the router decides. */
export type RouteDecision =
  | { readonly kind: "found"; readonly route: HttpRoute }
  | { readonly kind: "refused"; readonly error: CodedError }
  | { readonly kind: "answer"; readonly answer: EdgeAnswer };

/** A CONNECT, before it is routed. */
export interface ConnectAsked {
  /** As it came: what concerns one hop is still there. */
  readonly head: RequestHead;
  /** The visitor's address, as in {@link RoutedRequest}. */
  readonly address: string;
}

/** Serves the rest of a connection; `early` are the bytes behind the head that have come already. Never rejects. */
export type TakenConnect = (early: Uint8Array) => Promise<void>;

/** The times of a visitor's connection, ms. */
export interface HttpVisitorLimits {
  /** Until the first byte of the first head. */
  readonly firstByteMs: number;
  /** From the first byte of a head to its last. */
  readonly headMs: number;
  /** No byte moved in an exchange. */
  readonly stallMs: number;
  /** Between two exchanges. */
  readonly keepAliveMs: number;
  /** After an upgrade: one direction has ended and the other is silent. */
  readonly lingerMs: number;
}

/** One finished exchange, for counters. */
export interface ExchangeFacts {
  readonly host: string | undefined;
  /** The visitor's address, as in {@link RoutedRequest}. */
  readonly visitor: string;
  /** What the visitor got; `undefined` when the connection ended without a whole answer. */
  readonly status: number | undefined;
  /** Why the edge itself answered or cut. */
  readonly error: CodedError | undefined;
}

/** Everything that serving one visitor's connection needs to know. */
export interface HttpVisitorContext {
  /** Address of the connection's other end (or the one that PROXY protocol named). */
  readonly address: string;
  /** Port of the same. @default 0, unknown */
  readonly port?: number;
  readonly proto: "http" | "https";
  readonly limits: HttpVisitorLimits;
  /** The connection's one deadline, set at accept. Its owner disposes it. */
  readonly deadline: Deadline;
  readonly log: Logger;
  /** From then on running exchanges end with `Connection: close`; idle connections end at once. */
  readonly draining: Drain;
  /** Peers whose forwarding fields are believed; canonical addresses. */
  trustedProxies(address: string): boolean;
  /** Decides about every single request. */
  route(request: RoutedRequest): RouteDecision;
  /** Takes a CONNECT, and with it the connection, away from routing; `undefined` leaves it there. */
  takeConnect?(asked: ConnectAsked): TakenConnect | undefined;
  /** Told after every exchange; must not throw. */
  onExchange?(facts: ExchangeFacts): void;
  /** Told when the connection has ended; must not throw. */
  onEnd?(): void;
}
