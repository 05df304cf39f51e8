import { negotiateConnect, negotiateConnectHead } from "../../../net/connect_proxy.ts";
import type { PushbackDuplex } from "../../../net/duplex.ts";
import type { ConnectAsked, TakenConnect } from "../../../net/http/proxy/http_context.ts";
import { type Bound, EVERY_ADDRESS, listen, type Peer } from "../../../net/listen.ts";
import { SocketDuplex } from "../../../net/socket_duplex.ts";
import { negotiateSocks } from "../../../net/socks/serve_socks.ts";
import { listenTlsFront, type TlsDecision } from "../../../net/tls_front.ts";
import { CodedError, toCodedError } from "../../../protocol/errors.ts";
import { INTERNAL_SNI } from "../../../protocol/limits.ts";
import type { ServerCertificates } from "../../certificates/server_certificates.ts";
import type { ConnectionCounter } from "../../connection_counter.ts";
import type { Identify } from "../../edge/identify.ts";
import type { ServerLimits } from "../../limits.ts";
import { RunningVisits } from "../../edge/running_visits.ts";
import type { Mesh } from "../mesh.ts";
import { proxyIdentity } from "./proxy_identity.ts";
import type { MeshProxyOptions, ProxyAddress } from "./proxy_options.ts";
import { type ProxyKind, serveProxy, type ServeProxyParts } from "./serve_proxy.ts";

/** What the proxies need. */
export interface MeshProxiesParts extends ServeProxyParts {
  readonly mesh: Pick<Mesh, "open" | "admitsAnonymous" | "takesConnect">;
  /** The server's name, whose certificate is shown on the TLS ports. */
  readonly hostname: string;
  readonly certificates: Pick<ServerCertificates, "lookup">;
  readonly visitors: ConnectionCounter;
  readonly identify: Identify;
  readonly limits: Readonly<Pick<ServerLimits, "tlsHandshakeMs" | "headMs" | "lingerMs">>;
}

/** Where proxies can be open. */
export type ProxyPort = "socks" | "socksTls" | "connectTls";

/** The server's own doors into the mesh: SOCKS5 and HTTP CONNECT. */
export class MeshProxies implements AsyncDisposable {
  readonly visits = new RunningVisits();
  readonly #parts: MeshProxiesParts;
  readonly #ports = new Map<ProxyPort, Bound>();

  constructor(parts: MeshProxiesParts) {
    this.#parts = parts;
  }

  /** Opens the ports that are wanted. @throws {CodedError} LISTEN_FAILED, and those that were opened are to be disposed */
  async listen({ socks = {}, connectTlsListen }: MeshProxyOptions): Promise<void> {
    if (socks.listen !== undefined) this.#ports.set("socks", await this.#listenPlain(socks.listen));
    if (socks.tlsListen !== undefined) this.#ports.set("socksTls", await this.#listenTls(socks.tlsListen, "socks"));
    if (connectTlsListen === undefined) return;
    this.#ports.set("connectTls", await this.#listenTls(connectTlsListen, "connect"));
  }

  /** The ports that are open. */
  get addresses(): Partial<Record<ProxyPort, Bound["address"]>> {
    return Object.fromEntries([...this.#ports].map(([port, { address }]) => [port, address]));
  }

  /** Takes a CONNECT of the public HTTP port, if it is for the mesh. */
  takeConnect(visitor: PushbackDuplex, { head, address }: ConnectAsked): TakenConnect | undefined {
    if (!this.#parts.mesh.takesConnect) return undefined;
    return (early) => {
      visitor.unread(early);
      const request = negotiateConnectHead(visitor, head, proxyIdentity(this.#parts, address));
      return serveProxy({ visitor, kind: "connect", address, request }, this.#parts);
    };
  }

  /** Takes no more clients; those that are here go on. */
  stop(): void {
    for (const bound of this.#ports.values()) bound.stop();
  }

  /** Closes the ports; who is here has been handed on, and is for {@link visits} to cut. */
  async [Symbol.asyncDispose](): Promise<void> {
    for (const bound of this.#ports.values()) await bound[Symbol.asyncDispose]();
  }

  #listenPlain(address: ProxyAddress): Promise<Bound> {
    return listen({ hostname: EVERY_ADDRESS, ...address }, (socket, peer) => {
      const visitor = SocketDuplex.plain(socket);
      this.visits.track(visitor, this.#accept(visitor, peer));
    });
  }

  async #accept(visitor: SocketDuplex, peer: Peer): Promise<void> {
    const { identify, visitors } = this.#parts;
    try {
      const { address } = await identify(visitor, peer);
      using admitted = visitors.admit(address);
      if (admitted === null) throw new CodedError("TOO_MANY_CONNECTIONS");
      await this.#serve(visitor, "socks", address);
    } catch (error) {
      visitor.reset(error);
      this.#noteCut(peer, toCodedError(error));
    }
  }

  #listenTls(address: ProxyAddress, kind: ProxyKind): Promise<Bound> {
    const { identify, visitors, metrics, limits } = this.#parts;
    return listenTlsFront({
      ...{ hostname: EVERY_ADDRESS, ...address, handshakeMs: limits.tlsHandshakeMs, identify },
      admit: ({ address: from }) => {
        const admitted = visitors.admit(from);
        if (admitted === null) metrics.countRefusal("TOO_MANY_CONNECTIONS");
        return admitted;
      },
      decide: ({ serverName }) => this.#decide(serverName, kind),
      onRefused: ({ peer }, error) => this.#noteCut(peer, error),
    });
  }

  /** There is one thing to be had here, so that a client need not name it (unlike on the public port, security R38); a wrong name is refused. */
  #decide(serverName: string = this.#parts.hostname, kind: ProxyKind): TlsDecision {
    const { certificates, hostname } = this.#parts;
    if (serverName !== hostname && serverName !== INTERNAL_SNI) {
      return { kind: "refuse", error: new CodedError("UNKNOWN_HOST") };
    }
    const certificate = certificates.lookup(serverName);
    if (certificate === undefined) return { kind: "refuse", error: new CodedError("CERTIFICATE_MISSING") };
    return {
      kind: "terminate",
      context: certificate.context(),
      onConnection: ({ duplex, peer, admitted }) => {
        const visit = this.#serve(duplex, kind, peer.address);
        this.visits.track(duplex, visit.finally(() => admitted[Symbol.dispose]()));
      },
    };
  }

  #serve(visitor: SocketDuplex, kind: ProxyKind, address: string): Promise<void> {
    const options = { ...proxyIdentity(this.#parts, address), deadlineMs: this.#parts.limits.headMs };
    const request = kind === "socks" ? negotiateSocks(visitor, options) : negotiateConnect(visitor, options);
    return serveProxy({ visitor, kind, address, request }, this.#parts);
  }

  /** Who was cut before it asked for anything. */
  #noteCut(peer: Peer | undefined, { kind, code, message }: CodedError): void {
    const { metrics, log } = this.#parts;
    metrics.countRefusal(kind);
    const level = kind === "PROXY_HEADER_INVALID" ? "info" : "debug";
    log[level]("proxy client cut", { address: peer?.address ?? "", code, reason: message });
  }
}
