import type { Authorization, Client, Order } from "acme-client";
import { AcmeError } from "./acme_error.ts";
import { refusedRequest } from "./acme_problem.ts";
import { type AcmeResponse, AcmeTransport, requireHttps, retryAfterMs } from "./acme_transport.ts";

/** A CA and our account there. */
export interface AcmeAccount {
  /** URL of the CA's directory, https. */
  readonly directory: string;
  /** PEM of the account's key. */
  readonly accountKey: string;
  /** Where the CA writes to when something is wrong. */
  readonly email?: string;
  /** External account binding, for CAs that know their customers: what they gave out, HMAC key in base64url. */
  readonly eab?: { readonly keyId: string; readonly hmacKey: string };
  /** PEM of the authority of the CA's own server, for a private one. */
  readonly ca?: string;
  /** For each request, ms. @default 30_000 */
  readonly timeoutMs?: number;
}

/** A challenge of any type. */
export interface AcmeChallenge {
  readonly type: string;
  readonly url: string;
  readonly status: string;
  readonly token: string;
  readonly error?: unknown;
}

type Library = typeof import("acme-client");
/** The parts of the library that are not in its types; its version is pinned. */
interface Requester {
  request(url: string, method: string, options?: { data?: unknown }): Promise<AcmeResponse>;
  getDirectory(): Promise<Record<string, unknown>>;
}
interface Registrar {
  createAccount(data: object): Promise<{ status: number; data: { contact?: readonly string[] } }>;
}

/**
 * One visit to a CA: the account is registered (or found again) and every request goes through a transport of our own until the
 * session is disposed or its signal aborts.
 */
export class AcmeSession implements Disposable {
  readonly client: Client;
  readonly library: Library;
  readonly #transport: AcmeTransport;
  readonly #requester: Requester;

  constructor(library: Library, account: AcmeAccount, signal: AbortSignal) {
    this.library = library;
    this.#transport = new AcmeTransport(account);
    this.client = new library.Client({
      directoryUrl: account.directory,
      accountKey: account.accountKey,
      ...(account.eab === undefined
        ? {}
        : { externalAccountBinding: { kid: account.eab.keyId, hmacKey: account.eab.hmacKey } }),
    });
    this.#requester = (this.client as unknown as { http: Requester }).http;
    this.#requester.request = (url, method, options) => this.#request(url, method, { data: options?.data, signal });
  }

  /** @throws {AcmeError} what the CA says, or that it says nothing */
  static async open(account: AcmeAccount, signal: AbortSignal): Promise<AcmeSession> {
    requireHttps(account.directory);
    // It takes 0.1 s to load: only who needs a certificate waits for it.
    const loaded = await import("acme-client");
    const library = (loaded as unknown as { default?: Library }).default ?? loaded;
    const session = new AcmeSession(library, account, signal);
    try {
      await session.#register(account.email);
      return session;
    } catch (error) {
      session[Symbol.dispose]();
      throw error;
    }
  }

  /**
   * Orders a certificate; `replaces` tells a CA with renewal information which one it follows (RFC 9773 5), and is left out when the
   * CA does not like it: it may not know the old one.
   */
  async order(names: readonly string[], replaces?: string): Promise<Order> {
    const identifiers = names.map((value) => ({ type: "dns", value }));
    const { renewalInfo } = await this.#requester.getDirectory();
    if (replaces === undefined || renewalInfo === undefined) return await this.client.createOrder({ identifiers });
    try {
      return await this.client.createOrder({ identifiers, ...{ replaces } });
    } catch (error) {
      if (!(error instanceof AcmeError) || error.kind !== "ACME_REFUSED") throw error;
      return await this.client.createOrder({ identifiers });
    }
  }

  /** The authorizations of an order with their challenges. */
  async authorizations(order: Order): Promise<readonly (Authorization & { challenges: readonly AcmeChallenge[] })[]> {
    return await this.client.getAuthorizations(order);
  }

  /** The library's own `createAccount` also updates an account that is there, with nothing when nothing has changed: CAs refuse that. */
  async #register(email: string | undefined): Promise<void> {
    const contact = email === undefined ? [] : [`mailto:${email}`];
    const wanted = { termsOfServiceAgreed: true, ...(email === undefined ? {} : { contact }) };
    const { api } = this.client as unknown as { api: Registrar };
    const { status, data } = await api.createAccount(wanted);
    const isKnown = status === 200 && contact.every((uri) => data.contact?.includes(uri) === true);
    if (status === 200 && !isKnown) await this.client.updateAccount({ contact });
  }

  [Symbol.dispose](): void {
    this.#transport[Symbol.dispose]();
  }

  async #request(url: string, method: string, options: { data: unknown; signal: AbortSignal }): Promise<AcmeResponse> {
    const { data, signal } = options;
    const response = await this.#transport.request(url, {
      method,
      signal,
      ...(data === undefined ? {} : { body: JSON.stringify(data) }),
    });
    if (response.status < 300 || isBadNonce(response)) return response;
    const wait = retryAfterMs(response.headers["retry-after"], Date.now());
    throw refusedRequest(new URL(url).host, { ...response, ...(wait === undefined ? {} : { retryAfterMs: wait }) });
  }
}

/** The library tries again with a new nonce (RFC 8555 6.5). */
function isBadNonce({ status, data }: AcmeResponse): boolean {
  const { type } = (data ?? {}) as { type?: unknown };
  return status === 400 && type === "urn:ietf:params:acme:error:badNonce";
}
