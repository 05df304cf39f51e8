import type { ChallengeCertificate } from "../../net/acme/challenges.ts";
import { ACME_TLS_PROTOCOL } from "../../net/acme/tls_alpn/tls13.ts";
import { answerTlsAlpn } from "../../net/acme/tls_alpn_responder.ts";
import type { Bound, Peer } from "../../net/listen.ts";
import type { Logger } from "../../net/log.ts";
import { listenTlsFront, type TlsConnection, type TlsDecision, type TlsName } from "../../net/tls_front.ts";
import { CodedError, type ErrorName, toCodedError } from "../../protocol/errors.ts";
import { INTERNAL_SNI } from "../../protocol/limits.ts";
import type { ServerCertificates } from "../certificates/server_certificates.ts";
import type { ConnectionCounter } from "../connection_counter.ts";
import type { ServerLimits } from "../limits.ts";
import type { Metrics } from "../metrics.ts";
import { passesOn, type PublishedRule } from "../published_rule.ts";
import type { Router } from "../router.ts";
import type { Identify } from "./identify.ts";
import { serveMeshTls } from "./mesh_tls.ts";
import type { MeshVisit } from "./mesh_visit.ts";
import { serveRawVisit } from "./raw_visit.ts";
import { RunningVisits } from "./running_visits.ts";

/** What the public TLS port needs. */
export interface TlsEdgeOptions {
  /** The tunnel endpoint's own name. */
  hostname: string;
  router: Router;
  /** Whether nobody but the client or target of a name may end its TLS, also while they are away. */
  isSealed: (name: string) => boolean;
  certificates: ServerCertificates;
  visitors: ConnectionCounter;
  /** Connections that have not yet said whom they want. */
  undecided: ConnectionCounter;
  /** Connections to the tunnel endpoint that have proven nothing yet. */
  unauthenticated: ConnectionCounter;
  identify: Identify;
  /** Takes connections to the tunnel endpoint. */
  toEndpoint: (connection: TlsConnection) => void;
  /** Takes connections of visitors whose TLS was ended here. */
  toHttp: (connection: TlsConnection) => void;
  /** The same for what comes through the mesh. */
  toHttpFromMesh: (visit: MeshVisit, serverName: string) => Promise<void>;
  limits: Readonly<ServerLimits>;
  metrics: Metrics;
  log: Logger;
}

/** The one public TLS port: tunnels, visitors whose TLS ends here, and those whose bytes are passed on untouched, told apart by SNI. */
export class TlsEdge {
  readonly visits = new RunningVisits();
  readonly #options: TlsEdgeOptions;
  #draining = false;

  constructor(options: TlsEdgeOptions) {
    this.#options = options;
  }

  /** Opens the listener. @throws {CodedError} LISTEN_FAILED */
  listen(address: { hostname: string; port: number }): Promise<Bound> {
    const { undecided, identify, limits, metrics, log } = this.#options;
    return listenTlsFront({
      ...address,
      handshakeMs: limits.tlsHandshakeMs,
      identify,
      admit: ({ address }) => {
        const admitted = undecided.admit(address);
        if (admitted === null) metrics.countRefusal("TOO_MANY_CONNECTIONS");
        return admitted;
      },
      decide: (name) => this.#decide(name),
      onRefused: ({ serverName, peer }, { kind, code, message }) => {
        metrics.countRefusal(kind);
        const level = kind === "PROXY_HEADER_INVALID" ? "info" : "debug";
        log[level]("TLS refused", { name: serverName ?? "", visitor: peer?.address ?? "", code, reason: message });
      },
    });
  }

  /** Serves TLS that comes through the mesh. Never rejects. */
  async serveMesh(mesh: MeshVisit): Promise<void> {
    const { metrics, log, toHttpFromMesh } = this.#options;
    const served = serveMeshTls(mesh, { ...this.#options, passesOn, toHttp: toHttpFromMesh }).catch((error) => {
      const { code, kind, message } = toCodedError(error);
      metrics.countRefusal(kind);
      log.debug("TLS refused", { visitor: mesh.address, code, reason: message });
      mesh.duplex.reset(error);
    });
    this.visits.track(mesh.duplex, served);
    await served;
  }

  /** Takes no more visitors; the tunnel endpoint stays open for the channels of streams that still run. */
  drain(): void {
    this.#draining = true;
  }

  #decide(name: TlsName): TlsDecision {
    const { serverName } = name;
    if (serverName === undefined) return refused("UNKNOWN_HOST");
    const isChallenge = name.alpn.length === 1 && name.alpn[0] === ACME_TLS_PROTOCOL;
    const isEndpoint = serverName === this.#options.hostname || serverName === INTERNAL_SNI;
    if (isEndpoint && !isChallenge) return this.#toEndpoint(serverName, name);
    if (this.#draining) return refused("SERVER_DRAINING");
    const decision = isChallenge ? this.#decideChallenge(serverName, name) : this.#decideVisitor(serverName, name);
    return counted(decision, this.#options.visitors, name);
  }

  #decideVisitor(serverName: string, name: TlsName): TlsDecision {
    const found = this.#options.router.route(serverName);
    if (found.kind === "unknown") return refused("UNKNOWN_HOST");
    if (found.kind === "found" && passesOn(found.rule)) return this.#pass(found.rule, name);
    // Whoever asks would be shown a certificate of ours, and tell us what is for the owner alone.
    if (found.kind === "offline" && this.#options.isSealed(serverName)) return refused("TUNNEL_OFFLINE");
    return this.#terminate(serverName, this.#options.toHttp);
  }

  #toEndpoint(serverName: string, name: TlsName): TlsDecision {
    return counted(this.#terminate(serverName, this.#options.toEndpoint), this.#options.unauthenticated, name);
  }

  #terminate(serverName: string, onConnection: (connection: TlsConnection) => void): TlsDecision {
    const certificate = this.#options.certificates.lookup(serverName);
    if (certificate === undefined) return refused("CERTIFICATE_MISSING");
    return { kind: "terminate", context: certificate.context(), onConnection };
  }

  /** Who is refused is closed before a byte of it goes to the tunnel. */
  #pass(rule: PublishedRule, { peer }: TlsName): TlsDecision {
    if (!rule.allows(peer.address)) return refused("FORBIDDEN");
    return this.#passTo(rule, peer);
  }

  #passTo(rule: PublishedRule, from: Peer, options: { challenge?: boolean } = {}): TlsDecision {
    return {
      kind: "pass",
      onConnection: ({ duplex, admitted }) => {
        this.#options.metrics.visitors.tls++;
        const parts = { ...this.#options, lingerMs: this.#options.limits.lingerMs };
        const visit = serveRawVisit({ visitor: duplex, rule, protocol: "tls", from, ...options }, parts);
        this.visits.track(duplex, visit.finally(() => admitted[Symbol.dispose]()));
      },
    };
  }

  /** A challenge for a certificate that the server gets is answered here, one for a certificate of the client's there. */
  #decideChallenge(serverName: string, { peer }: TlsName): TlsDecision {
    const answer = this.#options.certificates.challenges.tlsAlpnAnswer(serverName);
    if (answer !== undefined) return this.#answerChallenge(serverName, answer);
    // A private rule may have a certificate like any other.
    const found = this.#options.router.find(serverName);
    if (found?.rule.kind !== "http") return refused("UNKNOWN_HOST");
    const { tls, acme, private: isPrivate } = found.rule;
    if (tls === undefined || tls === "server") return refused("UNKNOWN_HOST");
    // An authority comes from wherever it likes, and the client gives it nothing but the answer; a target may give more.
    if (tls === "client" && acme === true) return this.#passTo(found, peer, { challenge: true });
    if (isPrivate === true) return refused("UNKNOWN_HOST");
    return this.#pass(found, { serverName, alpn: [ACME_TLS_PROTOCOL], peer });
  }

  #answerChallenge(serverName: string, challenge: ChallengeCertificate): TlsDecision {
    const { log } = this.#options;
    return {
      kind: "pass",
      onConnection: ({ duplex, admitted }) => {
        const answering = answerTlsAlpn(duplex, { challenge }).then((outcome) =>
          log.debug("challenge answered", { name: serverName, ...outcome })
        );
        this.visits.track(duplex, answering.finally(() => admitted[Symbol.dispose]()));
      },
    };
  }
}

/** Who takes it counts it: tunnels and visitors do not take each other's place. */
function counted(decision: TlsDecision, counter: ConnectionCounter, { peer }: TlsName): TlsDecision {
  if (decision.kind === "refuse") return decision;
  const admitted = counter.admit(peer.address);
  return admitted === null ? refused("TOO_MANY_CONNECTIONS") : { ...decision, admitted };
}

function refused(kind: ErrorName): { kind: "refuse"; error: CodedError } {
  return { kind: "refuse", error: new CodedError(kind) };
}
