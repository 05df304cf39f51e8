import type { KeyObject } from "node:crypto";

/** What answers a tls-alpn-01 challenge: a self-signed certificate (DER) that carries its digest, and the P-256 key of it. */
export interface ChallengeCertificate {
  readonly certificate: Uint8Array;
  readonly key: KeyObject;
}

/** Where a CA asks for an http-01 answer (RFC 8555 8.3); the token follows. */
const HTTP_CHALLENGE_PREFIX = "/.well-known/acme-challenge/";
/** CAs send 43 characters (256 bits); the RFC asks for at least 22. */
const TOKEN = /^[A-Za-z0-9_-]{1,128}$/;

/** The token of an http-01 request, of the path of its target without a query; `undefined` for every other path (security R48). */
export function challengeToken(path: string): string | undefined {
  if (!path.startsWith(HTTP_CHALLENGE_PREFIX)) return undefined;
  const token = path.slice(HTTP_CHALLENGE_PREFIX.length);
  return isToken(token) ? token : undefined;
}

/** Whether a CA's token may be used: it becomes part of a path (CVE-2026-40611). */
export function isToken(token: string): boolean {
  return TOKEN.test(token);
}

/**
 * The answers to the challenges of orders under way, in memory alone (security R48): the edge looks them up without waiting.
 * An order sets an answer and disposes what it got when the CA has looked.
 */
export class Challenges {
  readonly #http = new Map<string, string>();
  readonly #tls = new Map<string, ChallengeCertificate>();

  /** Answers `http://HOST/.well-known/acme-challenge/TOKEN`. @throws {TypeError} when the token is none */
  setHttp(host: string, token: string, answer: string): Disposable {
    if (!isToken(token)) throw new TypeError(`Cannot answer a challenge whose token is ${JSON.stringify(token)}`);
    return put(this.#http, `${host}/${token}`, answer);
  }

  /** Answers TLS connections to `domain` that offer only the protocol `acme-tls/1`. */
  setTlsAlpn(domain: string, certificate: ChallengeCertificate): Disposable {
    return put(this.#tls, domain, certificate);
  }

  /** The body of the answer for a canonical host and a token; `undefined` when no order asked for it. */
  httpAnswer(host: string, token: string): string | undefined {
    return isToken(token) ? this.#http.get(`${host}/${token}`) : undefined;
  }

  /** Whether an order of this name waits for an http-01 request. */
  hasHttp(host: string): boolean {
    for (const key of this.#http.keys()) if (key.startsWith(`${host}/`)) return true;
    return false;
  }

  /** What a TLS connection for `domain` with `acme-tls/1` is answered with; `undefined` when no order asked for it. */
  tlsAlpnAnswer(domain: string): ChallengeCertificate | undefined {
    return this.#tls.get(domain);
  }
}

/** Sets an entry; disposing removes it, unless a later order has replaced it. */
function put<V>(map: Map<string, V>, key: string, value: V): Disposable {
  map.set(key, value);
  return {
    [Symbol.dispose](): void {
      if (map.get(key) === value) map.delete(key);
    },
  };
}
