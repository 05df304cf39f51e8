import { holdsCertificate } from "../certificate.ts";
import { AcmeError } from "./acme_error.ts";

/** How a CA is reached. */
export interface AcmeTransportOptions {
  /** PEM of the authority of a private CA's own server; trusted beside the public ones, here alone. */
  readonly ca?: string;
  /** For each request with its answer, ms. @default 30_000 */
  readonly timeoutMs?: number;
}

/** An answer; names of header fields are lower case, JSON is parsed. */
export interface AcmeResponse {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly data: unknown;
}

export interface AcmeRequest {
  readonly method: string;
  readonly body?: string;
  readonly signal: AbortSignal;
}

const TIMEOUT_MS = 30_000;
/** A directory, an order of 100 names or a chain of certificates is a few KiB. */
const MAX_BODY_BYTES = 1024 * 1024;
const USER_AGENT = "spokes";
/** Longer is not believed: what is asked for then is tried the next day. */
const MAX_RETRY_AFTER_MS = 24 * 3_600_000;

/**
 * HTTPS to one CA, with nothing that outlives it or is shared: `acme-client` brings a transport of its own, but that trusts, retries and
 * waits for the whole process at once, without a bound or a way to stop it.
 */
export class AcmeTransport implements Disposable {
  readonly #client: Deno.HttpClient;
  readonly #timeoutMs: number;

  /** @throws {AcmeError} CERTIFICATE_INVALID when `ca` is no certificate */
  constructor({ ca, timeoutMs = TIMEOUT_MS }: AcmeTransportOptions) {
    // The runtime would trust nobody more, and say nothing.
    if (ca !== undefined && !holdsCertificate(ca)) {
      throw new AcmeError("CERTIFICATE_INVALID", "the CA certificate configured for ACME (acme.ca) is not PEM");
    }
    this.#client = Deno.createHttpClient(ca === undefined ? {} : { caCerts: [ca] });
    this.#timeoutMs = timeoutMs;
  }

  /** Sends one request. @throws {AcmeError} ACME_UNREACHABLE; ACME_REFUSED for a URL that is not https (security R48) */
  async request(url: string, { method, body, signal }: AcmeRequest): Promise<AcmeResponse> {
    const { host } = requireHttps(url);
    const limited = AbortSignal.any([signal, AbortSignal.timeout(this.#timeoutMs)]);
    try {
      const response = await fetch(url, {
        method: method.toUpperCase(),
        client: this.#client,
        // A redirect could lead out of TLS, and a signature is for one URL only.
        redirect: "manual",
        signal: limited,
        headers: {
          "user-agent": USER_AGENT,
          "accept-language": "en",
          ...(body === undefined ? {} : { "content-type": "application/jose+json" }),
        },
        ...(body === undefined ? {} : { body }),
      });
      const text = await readText(response);
      return { status: response.status, headers: Object.fromEntries(response.headers), data: parse(response, text) };
    } catch (cause) {
      signal.throwIfAborted();
      if (cause instanceof AcmeError) throw cause;
      throw new AcmeError("ACME_UNREACHABLE", `the CA ${host} does not answer: ${this.#reasonOf(cause)}`, { cause });
    }
  }

  [Symbol.dispose](): void {
    this.#client.close();
  }

  #reasonOf(cause: unknown): string {
    if (cause instanceof DOMException && cause.name === "TimeoutError") return `nothing within ${this.#timeoutMs} ms`;
    return rootMessage(cause);
  }
}

/** The URL. @throws {AcmeError} ACME_REFUSED when it is not https (lego CVE-2025-54799) */
export function requireHttps(url: string): URL {
  const parsed = URL.parse(url);
  if (parsed?.protocol === "https:" && parsed.username === "" && parsed.password === "") return parsed;
  throw new AcmeError("ACME_REFUSED", `"${url}" is not an https:// URL; a CA is asked over TLS only`);
}

/** The wait that a `Retry-After` asks for, ms from `now`, at most a day; `undefined` without a valid one. */
export function retryAfterMs(header: string | undefined, now: number): number | undefined {
  if (header === undefined) return undefined;
  const wait = /^[0-9]{1,9}$/.test(header) ? Number(header) * 1000 : Date.parse(header) - now;
  return Number.isNaN(wait) || wait < 0 ? undefined : Math.min(wait, MAX_RETRY_AFTER_MS);
}

/** The runtime only says that it failed; what for, and once more the URL, is in the cause. */
function rootMessage(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  if (error.cause instanceof Error) return rootMessage(error.cause);
  return error.message.replace(/^error sending request for url \([^)]*\): /, "");
}

async function readText(response: Response): Promise<string> {
  let text = "";
  let length = 0;
  const decoder = new TextDecoder();
  for await (const bytes of response.body ?? []) {
    length += bytes.length;
    if (length > MAX_BODY_BYTES) {
      throw new AcmeError("ACME_REFUSED", `the CA answers more than ${MAX_BODY_BYTES} bytes`);
    }
    text += decoder.decode(bytes, { stream: true });
  }
  return text + decoder.decode();
}

function parse(response: Response, text: string): unknown {
  if (!/json/.test(response.headers.get("content-type") ?? "")) return text;
  try {
    return JSON.parse(text);
  } catch {
    // A status says more than what is wrong with its body.
    return text;
  }
}
