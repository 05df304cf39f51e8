import { answerTlsAlpn } from "../net/acme/tls_alpn_responder.ts";
import type { ChannelStream } from "../net/channel_stream.ts";
import { Deadline } from "../net/deadline.ts";
import type { Drain } from "../net/drain.ts";
import type { Duplex } from "../net/duplex.ts";
import { lingeringClose } from "../net/http/lingering_close.ts";
import type { ExchangeFacts, HttpVisitorLimits, RouteDecision } from "../net/http/proxy/http_context.ts";
import { serveHttpVisitor } from "../net/http/proxy/http_visitor.ts";
import type { Logger } from "../net/log.ts";
import { peekClientHello } from "../net/peek_client_hello.ts";
import { terminateTls } from "../net/tls_over_duplex.ts";
import { CodedError, toCodedError } from "../protocol/errors.ts";
import type { StreamOpen } from "../protocol/stream_message.ts";
import type { TlsSite } from "./tls_site.ts";

/** From the visitor's first byte to a finished handshake: the same as at the server. */
const HANDSHAKE_MS = 5_000;
/** The answer to a challenge has a shorter deadline of its own. */
const CHALLENGE_MS = 15_000;
/** Who was told that there is no handshake gets so long to leave. */
const LINGER_MS = 5_000;
/** The same times as at the server's edge, for the same reasons. */
const VISITOR_LIMITS: HttpVisitorLimits = {
  firstByteMs: 10_000,
  headMs: 10_000,
  stallMs: 60_000,
  keepAliveMs: 60_000,
  lingerMs: 300_000,
};
/** The protocol of a certificate authority that looks at a challenge (RFC 8737 3). */
const ACME_PROTOCOL = "acme-tls/1";
/** A fatal `unrecognized_name` alert (RFC 6066 3). */
const ALERT_UNRECOGNIZED_NAME = new Uint8Array([21, 3, 3, 0, 2, 2, 112]);
/** A fatal `internal_error` alert (RFC 8446 6.2): the name is right, but there is no certificate for it yet. */
const ALERT_INTERNAL_ERROR = new Uint8Array([21, 3, 3, 0, 2, 2, 80]);
/** A fatal `decode_error` alert. */
const ALERT_DECODE_ERROR = new Uint8Array([21, 3, 3, 0, 2, 2, 50]);

/** What serving TLS needs to know. */
export interface ServeTlsOptions {
  /** The site as it is at this moment: an edit counts from the next request on. */
  readonly site: () => TlsSite | undefined;
  /** The client takes no new work: connections end with their exchange. */
  readonly draining: Drain;
  readonly log: Logger;
  /** From the first byte to a finished handshake, ms. @default 5_000 */
  readonly handshakeMs?: number;
}

/** Serves a visitor whose TLS ends here, until the connection has ended. Never rejects. */
export async function serveTls(stream: ChannelStream, open: StreamOpen, options: ServeTlsOptions): Promise<void> {
  const fields = { rule: open.rule, visitor: open.visitor.address };
  using deadline = new Deadline(options.handshakeMs ?? HANDSHAKE_MS, () => stream.reset());
  try {
    await stream.accept();
    await new TlsVisit(open, { ...options, deadline }).serve(stream);
    options.log.debug("stream ended", fields);
  } catch (error) {
    const { code, message } = toCodedError(error);
    options.log.debug("stream cut", { ...fields, code, reason: message });
    stream.reset(error);
  }
}

class TlsVisit {
  readonly #open: StreamOpen;
  readonly #options: ServeTlsOptions & { readonly deadline: Deadline };

  constructor(open: StreamOpen, options: ServeTlsOptions & { readonly deadline: Deadline }) {
    this.#open = open;
    this.#options = options;
  }

  async serve(stream: Duplex): Promise<void> {
    const { hello, duplex } = await peekClientHello(stream);
    if (hello.kind !== "hello") return await this.#refuse(duplex, ALERT_DECODE_ERROR, hello.reason);
    const { serverName, alpn } = hello;
    const site = this.#options.site();
    if (serverName === undefined || !site?.isFor(serverName)) {
      return await this.#refuse(duplex, ALERT_UNRECOGNIZED_NAME, "the name is not one of this rule");
    }
    if (alpn.includes(ACME_PROTOCOL)) return await this.#answerChallenge(duplex, site, serverName);
    const pair = site.certificate;
    if (pair === undefined) return await this.#refuse(duplex, ALERT_INTERNAL_ERROR, "there is no certificate yet");
    if (!pair.covers(serverName)) {
      return await this.#refuse(duplex, ALERT_UNRECOGNIZED_NAME, "the certificate is not for the name");
    }
    const visitor = await terminateTls(duplex, {
      context: pair.context(),
      handshakeMs: this.#options.handshakeMs ?? HANDSHAKE_MS,
      alpn: ["http/1.1"],
    });
    await this.#serveHttp(visitor, serverName);
  }

  async #serveHttp(visitor: Duplex, serverName: string): Promise<void> {
    const { log, draining, deadline } = this.#options;
    const { address, port } = this.#open.visitor;
    deadline.replace(VISITOR_LIMITS.firstByteMs, () => visitor.reset());
    await serveHttpVisitor(visitor, {
      ...{ address, port, proto: "https", limits: VISITOR_LIMITS, deadline, log, draining },
      trustedProxies: () => false,
      route: ({ host }) => this.#route(host, serverName),
      onExchange: (facts) => this.#logRefusal(facts),
    });
  }

  /** What the server logs where it is the one that answers; here nobody else sees it. */
  #logRefusal({ host, status, error }: ExchangeFacts): void {
    if (error === undefined) return;
    this.#options.log.info("request failed", {
      ...{ rule: this.#open.rule, visitor: this.#open.visitor.address },
      ...(host === undefined ? {} : { host }),
      ...(status === undefined ? {} : { status }),
      ...{ code: error.code, reason: error.message },
    });
  }

  /** A certificate is shown for one name: whoever asks for another on the same connection asks in the wrong place (security R39). */
  #route(host: string, serverName: string): RouteDecision {
    if (host !== serverName) return { kind: "refused", error: new CodedError("MISDIRECTED") };
    const site = this.#options.site();
    if (site === undefined) return { kind: "refused", error: new CodedError("NO_SUCH_RULE") };
    return { kind: "found", route: site.route };
  }

  async #answerChallenge(duplex: Duplex, site: TlsSite, serverName: string): Promise<void> {
    const challenge = site.challenges?.tlsAlpnAnswer(serverName);
    if (challenge === undefined) {
      return await this.#refuse(duplex, ALERT_UNRECOGNIZED_NAME, "no certificate was asked for");
    }
    this.#options.deadline.replace(CHALLENGE_MS);
    const outcome = await answerTlsAlpn(duplex, { challenge });
    this.#options.log.debug("challenge answered", { domain: serverName, outcome: outcome.kind });
  }

  async #refuse(duplex: Duplex, alert: Uint8Array, reason: string): Promise<void> {
    this.#options.log.debug("handshake refused", { rule: this.#open.rule, reason });
    this.#options.deadline.replace(LINGER_MS);
    await duplex.write(alert);
    await lingeringClose(duplex);
  }
}
