import type { Challenges } from "../net/acme/challenges.ts";
import type { CertificatePair } from "../net/certificate.ts";
import type { Duplex } from "../net/duplex.ts";
import { type FetchHandler, serveFetch } from "../net/http/fetch_server.ts";
import type { HttpRoute } from "../net/http/proxy/http_context.ts";
import { memoryPair } from "../net/memory_duplex.ts";
import type { HandlerDestination, SocketDestination } from "./destination.ts";
import { openTarget } from "./open_target.ts";
import { TargetUpstreams } from "./target_upstreams.ts";

/** What a domain whose TLS ends here is made of. */
export interface TlsSiteOptions {
  readonly domain: string;
  readonly destination: SocketDestination | HandlerDestination;
  /** Sent to the target as Host in place of the visitor's. */
  readonly hostHeader: string | undefined;
  /** The certificate of this moment; without one no handshake is answered. */
  readonly certificate: () => CertificatePair | undefined;
  /** Where the answers for a certificate authority are, for a domain that gets its certificate from one. */
  readonly challenges: Challenges | undefined;
}

/** A domain whose TLS ends in this client, with its keep-alive connections to the target. */
export class TlsSite {
  readonly domain: string;
  readonly challenges: Challenges | undefined;
  readonly #certificate: () => CertificatePair | undefined;
  readonly #upstreams: TargetUpstreams;
  readonly #route: HttpRoute;

  constructor({ domain, destination, hostHeader, certificate, challenges }: TlsSiteOptions) {
    this.domain = domain;
    this.challenges = challenges;
    this.#certificate = certificate;
    this.#upstreams = new TargetUpstreams(
      destination.kind === "socket"
        ? { dial: (visitor) => openTarget(destination, visitor), shared: destination.proxyProtocol === undefined }
        : { dial: () => Promise.resolve(connectHandler(destination.handler)), shared: true },
    );
    this.#route = { key: this, hostHeader, options: destination.http, acquire: (how) => this.#upstreams.acquire(how) };
  }

  /** The certificate of this moment. */
  get certificate(): CertificatePair | undefined {
    return this.#certificate();
  }

  /** The way of a request to the target. */
  get route(): HttpRoute {
    return this.#route;
  }

  /** Whether a name that TLS asks for is the domain, or one below it, which the server sends here only when it may. */
  isFor(name: string): boolean {
    return name === this.domain || name.endsWith(`.${this.domain}`);
  }

  /** The rule leads elsewhere, or is gone: connections to the target end with their exchange. */
  close(): void {
    this.#upstreams.close();
  }
}

/** A connection to a handler in this process. */
function connectHandler(handler: FetchHandler): Duplex {
  const [near, far] = memoryPair({ keep: true });
  // It never rejects, and ends with the connection.
  void serveFetch(far, handler, { proto: "https" });
  return near;
}
