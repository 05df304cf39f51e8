import type net from "node:net";
import tls from "node:tls";
import { type CodedError, StreamResetError, toCodedError } from "../protocol/errors.ts";
import type { ClientHello } from "../protocol/client_hello.ts";
import { Deadline } from "./deadline.ts";
import { type Bound, listen, type Peer } from "./listen.ts";
import { readClientHello } from "./peek_client_hello.ts";
import { SocketDuplex } from "./socket_duplex.ts";

/** What a ClientHello asks for. */
export interface TlsName {
  serverName: string | undefined;
  alpn: readonly string[];
  peer: Peer;
}

/**
 * Who takes a TLS connection: it is ended here with a context, or passed on as it is, or nobody takes it: there is no default host
 * (security R38). `admitted` counts the connection elsewhere from now on, in place of what `admit` gave.
 */
export type TlsDecision =
  | {
    kind: "terminate";
    context: tls.SecureContext;
    onConnection: (connection: TlsConnection) => void;
    admitted?: Disposable;
  }
  | { kind: "pass"; onConnection: (connection: TlsConnection) => void; admitted?: Disposable }
  | { kind: "refuse"; error: CodedError };

/** A connection whose TLS was ended, or one that begins with its ClientHello. */
export interface TlsConnection {
  duplex: SocketDuplex;
  serverName: string;
  peer: Peer;
  /** What counts it; released at the latest when the connection closes, earlier when its owner counts it elsewhere. */
  admitted: Disposable;
}

/** How a TLS front works. */
export interface TlsFrontOptions {
  hostname: string;
  port: number;
  /** From accept to a finished handshake, ms. */
  handshakeMs: number;
  /** Decides from memory and never waits: a handshake must not hang on it. */
  decide: (name: TlsName) => TlsDecision;
  /** Who is at the other end of a new connection, which a load balancer may have to say first. @default the peer */
  identify?: (duplex: SocketDuplex, peer: Peer) => Peer | Promise<Peer>;
  /** Whether a new connection may be taken. */
  admit: (peer: Peer) => Disposable | null;
  /** Told of connections that nobody takes. */
  onRefused?: (name: Partial<TlsName>, error: CodedError) => void;
}

/** A fatal `unrecognized_name` alert (RFC 8446 6.2, RFC 6066 3). */
const ALERT_UNRECOGNIZED_NAME = new Uint8Array([21, 3, 3, 0, 2, 2, 112]);
/** A fatal `decode_error` alert. */
const ALERT_DECODE_ERROR = new Uint8Array([21, 3, 3, 0, 2, 2, 50]);
/** The one protocol that is spoken inside. */
const ALPN = ["http/1.1"];

/**
 * Opens the one public TLS port: reads each ClientHello, and lets `decide` say who takes the connection.
 * @throws {CodedError} LISTEN_FAILED
 */
export async function listenTlsFront(options: TlsFrontOptions): Promise<Bound> {
  const shaking = new Set<Handshake>();
  const bound = await listen(options, (socket, peer) => {
    const handshake = new Handshake(SocketDuplex.plain(socket), options, () => shaking.delete(handshake));
    shaking.add(handshake);
    void handshake.run(peer);
  });
  return {
    address: bound.address,
    stop: () => bound.stop(),
    async [Symbol.asyncDispose](): Promise<void> {
      await bound[Symbol.asyncDispose]();
      // What has been handed on is its owner's to close.
      for (const handshake of shaking) handshake.cut();
    },
  };
}

/** One connection up to its finished handshake. */
class Handshake {
  readonly #options: TlsFrontOptions;
  readonly #duplex: SocketDuplex;
  readonly #deadline: Deadline;
  readonly #onDone: () => void;
  /** Once TLS is ended here. */
  #raw: net.Socket | undefined;
  #admitted: Disposable | undefined;

  /** `onDone` is called when the connection has ended, or has an owner. */
  constructor(duplex: SocketDuplex, options: TlsFrontOptions, onDone: () => void) {
    this.#duplex = duplex;
    this.#options = options;
    this.#onDone = onDone;
    this.#deadline = new Deadline(options.handshakeMs, () => this.cut());
  }

  /** Never rejects: whatever goes wrong concerns this connection alone (security R2, R52). */
  async run(peer: Peer): Promise<void> {
    try {
      await this.#begin(peer);
    } catch (error) {
      this.cut();
      // That the peer left, or said nothing in time, is nobody's fault.
      if (!(error instanceof StreamResetError)) this.#options.onRefused?.({ peer }, toCodedError(error));
    }
  }

  /** Ends the connection. */
  cut(): void {
    if (this.#raw === undefined) this.#duplex.reset();
    else this.#raw.resetAndDestroy();
    this.#end();
  }

  async #begin(peer: Peer): Promise<void> {
    const { identify, admit } = this.#options;
    const from = identify === undefined ? peer : await identify(this.#duplex, peer);
    const admitted = admit(from);
    if (admitted === null) return this.cut();
    this.#admitted = admitted;
    const hello = await readHello(this.#duplex);
    if (hello === null) return await this.#refuse(ALERT_DECODE_ERROR);
    const name: TlsName = { serverName: hello.serverName, alpn: hello.alpn, peer: from };
    const decision = this.#decide(name);
    if (decision.kind === "refuse") {
      this.#options.onRefused?.(name, decision.error);
      return await this.#refuse(ALERT_UNRECOGNIZED_NAME);
    }
    if (decision.admitted !== undefined) {
      admitted[Symbol.dispose]();
      this.#admitted = decision.admitted;
    }
    const facts = { serverName: hello.serverName ?? "", peer: from, admitted: this.#admitted };
    if (decision.kind === "terminate") return this.#terminate(decision, facts);
    this.#end({ handedOn: true });
    void this.#duplex.closed.then(() => facts.admitted[Symbol.dispose]());
    decision.onConnection({ duplex: this.#duplex, ...facts });
  }

  #decide(name: TlsName): TlsDecision {
    try {
      return this.#options.decide(name);
    } catch (error) {
      return { kind: "refuse", error: toCodedError(error) };
    }
  }

  #terminate(
    decision: Extract<TlsDecision, { kind: "terminate" }>,
    facts: Omit<TlsConnection, "duplex">,
  ): void {
    const raw = this.#raw = this.#duplex.handBack();
    const onClose = (): void => this.#end();
    raw.on("close", onClose);
    const secure = new tls.TLSSocket(raw, {
      isServer: true,
      secureContext: decision.context,
      ALPNProtocols: ALPN,
    });
    // On a failed handshake the runtime leaves the sockets open, and whoever has ended its direction will never finish.
    const destroy = destroyer(raw);
    for (const event of ["error", "_tlsError", "end"]) secure.on(event, destroy);
    raw.on("error", destroy);
    onSecure(secure, () => {
      secure.off("end", destroy);
      secure.off("error", destroy);
      raw.off("error", destroy);
      raw.off("close", onClose);
      disposeOnClose(raw, facts.admitted);
      this.#end({ handedOn: true });
      try {
        decision.onConnection({ duplex: SocketDuplex.secure(secure, raw), ...facts });
      } catch (error) {
        // Nobody else would catch what is thrown here, and it would end the process.
        raw.resetAndDestroy();
        this.#options.onRefused?.(facts, toCodedError(error));
      }
    });
  }

  async #refuse(alert: Uint8Array): Promise<void> {
    await this.#duplex.write(alert);
    await this.#duplex.closeAfterFlush();
    this.#end();
  }

  #end({ handedOn = false } = {}): void {
    this.#deadline[Symbol.dispose]();
    if (!handedOn) this.#admitted?.[Symbol.dispose]();
    this.#onDone();
  }
}

// What follows is out of the class so that a connection does not hold all of its handshake in memory as long as it lives.

function destroyer(raw: net.Socket): () => void {
  return () => void raw.destroy();
}

/** Not `once()`: a listener that is removed as the last for its event makes the table of all of them nine times as large. */
function onSecure(secure: tls.TLSSocket, act: () => void): void {
  let pending: (() => void) | undefined = act;
  secure.on("secure", () => {
    const run = pending;
    pending = undefined;
    run?.();
  });
}

function disposeOnClose(raw: net.Socket, admitted: Disposable): void {
  raw.on("close", () => admitted[Symbol.dispose]());
}

/** Reads the ClientHello and puts it back; `null` when what comes is none. */
async function readHello(duplex: SocketDuplex): Promise<Extract<ClientHello, { kind: "hello" }> | null> {
  const { hello, bytes } = await readClientHello(duplex);
  if (hello.kind === "incomplete") throw new StreamResetError("The peer left before it said what it wants");
  duplex.unread(bytes);
  return hello.kind === "hello" ? hello : null;
}
