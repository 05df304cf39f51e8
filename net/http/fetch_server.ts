import { CodedError, toCodedError } from "../../protocol/errors.ts";
import { parseRequestHead, type RequestHead } from "../../protocol/http/head.ts";
import { latin1Bytes } from "../../protocol/http/serialise.ts";
import { Deadline } from "../deadline.ts";
import type { Duplex } from "../duplex.ts";
import { type Logger, SILENT } from "../log.ts";
import { errorStatus } from "./error_status.ts";
import { FetchBody } from "./fetch_request.ts";
import { writeFetchResponse } from "./fetch_response.ts";
import { type RequestHop, stripRequest } from "./hop_by_hop.ts";
import { HttpReader } from "./http_reader.ts";
import { lingeringClose } from "./lingering_close.ts";

/** What a handler learns beside the request. */
export interface FetchInfo {
  /** The address of who asks, when the caller of {@link serveFetch} knows it. */
  readonly address: string | undefined;
}

/** A web-standard request handler. */
export type FetchHandler = (request: Request, info: FetchInfo) => Response | Promise<Response>;

/** A request that wants another protocol on its connection. */
export interface FetchUpgrade {
  readonly head: RequestHead;
  /** The protocols asked for, as sent. */
  readonly protocols: string;
  readonly duplex: Duplex;
  /** Whether `take()` was called. */
  readonly taken: boolean;
  /**
   * Ends the server's watch over the connection, which needs another deadline from now on. Gives the bytes that came behind the head; valid
   * until the next read of the duplex.
   */
  take(): Uint8Array;
}

/** How a connection is served. */
export interface ServeFetchOptions {
  /** Resets the connection. */
  readonly signal?: AbortSignal;
  /** Scheme of the request's URL. @default "http" */
  readonly proto?: "http" | "https";
  readonly address?: string;
  /** Larger request bodies are refused with 413. @default 1 MiB */
  readonly maxBodyBytes?: number;
  /** First byte and whole head. @default 10_000 */
  readonly headMs?: number;
  /** No byte moved in a body, and the handler gave no answer. @default 60_000 */
  readonly stallMs?: number;
  /** Between two requests. @default 60_000 */
  readonly keepAliveMs?: number;
  /**
   * Offered every upgrade. It calls `take()` and owns the connection from then on, or gives the response of a refusal. Without it, upgrades are
   * served as plain requests.
   */
  readonly onUpgrade?: (upgrade: FetchUpgrade) => Response | undefined | Promise<Response | undefined>;
  readonly log?: Logger;
}

const DEFAULTS = {
  proto: "http",
  maxBodyBytes: 1024 * 1024,
  headMs: 10_000,
  stallMs: 60_000,
  keepAliveMs: 60_000,
} as const;
/** A peer that was told of the end gets so long to end as well. */
const LINGER_MS = 5_000;
const CONTINUE = latin1Bytes("HTTP/1.1 100 Continue\r\n\r\n");

/** Serves HTTP/1.1 on one connection until either side ends it. Never rejects: what goes wrong is answered and logged. */
export async function serveFetch(
  duplex: Duplex,
  handler: FetchHandler,
  options: ServeFetchOptions = {},
): Promise<void> {
  const { signal } = options;
  const abort = (): void => duplex.reset(signal?.reason);
  if (signal?.aborted) return abort();
  signal?.addEventListener("abort", abort, { once: true });
  try {
    await new FetchConnection(duplex, handler, options).run();
  } finally {
    signal?.removeEventListener("abort", abort);
  }
}

type Next = "again" | "close" | "taken";

class FetchConnection {
  readonly #duplex: Duplex;
  readonly #handler: FetchHandler;
  readonly #options: ServeFetchOptions & typeof DEFAULTS;
  readonly #log: Logger;
  readonly #reader: HttpReader;
  readonly #deadline: Deadline;
  readonly #gone = new AbortController();
  readonly #watch: CloseWatch = { controller: this.#gone };
  /** Whether the head of an answer is on its way: from then on no fault can be told, and no `100 Continue`. */
  #headSent = false;
  #continuing: Promise<void> | undefined;
  /** Whether we have said that nothing more comes. */
  #ending = false;

  constructor(duplex: Duplex, handler: FetchHandler, options: ServeFetchOptions) {
    this.#duplex = duplex;
    this.#handler = handler;
    this.#options = { ...DEFAULTS, ...options as typeof DEFAULTS };
    this.#log = options.log ?? SILENT;
    this.#deadline = new Deadline(this.#options.headMs, this.#onStall);
    this.#reader = new HttpReader(duplex, "request", () => {
      if (!this.#ending) this.#deadline.replace(this.#options.headMs, this.#onStall);
    });
  }

  async run(): Promise<void> {
    abortWhenClosed(this.#duplex, this.#watch);
    let next: Next = "again";
    try {
      while (next === "again") {
        next = await this.#exchange();
        if (next === "again") this.#deadline.replace(this.#options.keepAliveMs, this.#onIdle);
      }
      if (next === "close") await this.#close();
    } catch (error) {
      await this.#fail(toCodedError(error));
    } finally {
      this.#deadline[Symbol.dispose]();
    }
  }

  async #exchange(): Promise<Next> {
    const text = await this.#reader.readHead();
    // A request that crossed our end on its way was not looked at: its sender may send it again elsewhere.
    if (text === null || this.#ending) return "close";
    this.#deadline.replace(this.#options.stallMs, this.#onStall);
    const head = parseRequestHead(text);
    const hop = stripRequest(head);
    const body = new FetchBody(this.#reader, head, {
      maxBodyBytes: this.#options.maxBodyBytes,
      onStart: async () => {
        if (!hop.expectsContinue || this.#headSent) return;
        await (this.#continuing = Promise.resolve(this.#duplex.write(CONTINUE)));
      },
      onProgress: () => this.#moved(),
    });
    const refusal = hop.upgrade === undefined || body.stream !== null
      ? undefined
      : await this.#upgrade(head, hop.upgrade);
    if (refusal === "taken") return "taken";
    const response = refusal ?? await this.#respond(head, body);
    return await this.#answer(response, { head, hop, body });
  }

  async #upgrade(head: RequestHead, protocols: string): Promise<Response | "taken" | undefined> {
    if (this.#options.onUpgrade === undefined) return undefined;
    const upgrade = {
      ...{ head, protocols, duplex: this.#duplex, taken: false },
      take: (): Uint8Array => {
        upgrade.taken = true;
        this.#watch.controller = null;
        this.#deadline[Symbol.dispose]();
        return this.#reader.rest();
      },
    };
    const response = await this.#options.onUpgrade(upgrade);
    return upgrade.taken ? "taken" : response;
  }

  async #respond(head: RequestHead, body: FetchBody): Promise<Response> {
    try {
      return await this.#handler(this.#toRequest(head, body), { address: this.#options.address });
    } catch (error) {
      const coded = toCodedError(error);
      this.#log.error("request failed", { code: coded.code, error: coded.message, method: head.method });
      return errorResponse(coded);
    }
  }

  #toRequest({ method, target, fields, host = "localhost" }: RequestHead, { stream }: FetchBody): Request {
    const path = target.startsWith("/") ? target : "/";
    const headers = new Headers();
    for (const { name, value } of fields) headers.append(name, value);
    const init = { method, headers, signal: this.#gone.signal };
    const url = new URL(`${this.#options.proto}://${fields.get("host") ?? host}`);
    const hash = path.indexOf("?");
    // Set apart, so that a path like //other/ cannot name another host.
    url.pathname = hash < 0 ? path : path.slice(0, hash);
    url.search = hash < 0 ? "" : path.slice(hash);
    try {
      return stream === null || method === "GET" || method === "HEAD"
        ? new Request(url, init)
        : new Request(url, { ...init, body: stream, duplex: "half" } as RequestInit);
    } catch (cause) {
      // CONNECT and TRACE cannot be said in fetch.
      throw new CodedError("NOT_IMPLEMENTED", `The method "${method}" is not supported here`, { cause });
    }
  }

  async #answer(
    response: Response,
    { head, hop, body }: { head: RequestHead; hop: RequestHop; body: FetchBody },
  ): Promise<Next> {
    this.#moved();
    const reusable = await writeFetchResponse(this.#duplex, response, {
      method: head.method,
      version: head.version,
      keepAlive: hop.keepAlive && body.done,
      onHead: async () => {
        this.#headSent = true;
        await this.#continuing;
      },
      onProgress: () => this.#moved(),
    });
    await body.settle();
    this.#headSent = false;
    return reusable && body.done ? "again" : "close";
  }

  /** Before anything of an answer was sent a fault can be told; after it only a reset says that the answer is not whole. */
  async #fail(error: CodedError): Promise<void> {
    this.#log.debug("connection failed", { code: error.code, error: error.message });
    if (this.#headSent || error.kind === "STREAM_RESET" || error.kind === "INTERNAL") return this.#duplex.reset(error);
    try {
      await writeFetchResponse(this.#duplex, errorResponse(error), {
        method: "GET",
        version: "1.1",
        keepAlive: false,
        onHead: () => Promise.resolve(this.#continuing),
        onProgress: () => this.#moved(),
      });
      await this.#close();
    } catch (cause) {
      this.#duplex.reset(cause);
    }
  }

  async #close(): Promise<void> {
    this.#deadline.replace(LINGER_MS, this.#onStall);
    await lingeringClose(this.#duplex);
  }

  readonly #onStall = (): void => {
    this.#duplex.reset();
  };

  /** A clean end, since nothing is under way. */
  readonly #onIdle = (): void => {
    this.#ending = true;
    this.#deadline.replace(LINGER_MS, this.#onStall);
    void this.#sayEnd();
  };

  async #sayEnd(): Promise<void> {
    try {
      await this.#duplex.closeWrite();
    } catch {
      // The peer was faster.
    }
  }

  #moved(): void {
    this.#deadline.replace(this.#options.stallMs);
  }
}

/** Who is told when the connection closes; nobody once it was taken over. */
interface CloseWatch {
  controller: AbortController | null;
}

/** Out of the class, so that a connection that was taken over does not hold all of its first life in memory. */
function abortWhenClosed(duplex: Duplex, watch: CloseWatch): void {
  void duplex.closed.then(() => watch.controller?.abort());
}

/** One line with the code; the cause of an unexpected error stays in the log. */
function errorResponse({ kind, code, message }: CodedError): Response {
  const { status, reason } = errorStatus(kind);
  const text = `${status} ${reason}\n${code}${status === 500 ? "" : `: ${message}`}\n`;
  const headers = {
    "cache-control": "no-store",
    "content-length": `${new TextEncoder().encode(text).length}`,
    "content-type": "text/plain; charset=utf-8",
  };
  return new Response(text, { status, statusText: reason, headers });
}
