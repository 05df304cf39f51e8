import type net from "node:net";
import tls from "node:tls";
import { parseClientHello } from "../protocol/client_hello.ts";
import { MAX_CLIENT_HELLO_BYTES } from "../protocol/limits.ts";
import { Deadline } from "./deadline.ts";
import { type Bound, listen } from "./listen.ts";
import { SocketDuplex } from "./socket_duplex.ts";

/** What a ClientHello asks for. */
export interface TlsName {
  serverName: string | undefined;
  alpn: readonly string[];
  peer: { address: string; port: number };
}

/** Who takes a TLS connection: terminated here with a context, or nobody (there is no default host, security R38). */
export type TlsDecision =
  | { kind: "terminate"; context: tls.SecureContext; onConnection: (connection: TlsConnection) => void }
  | { kind: "refuse" };

/** A terminated connection. */
export interface TlsConnection {
  duplex: SocketDuplex;
  serverName: string;
  peer: { address: string; port: number };
  /** What `admit` gave; released at the latest when the connection closes, earlier when its owner counts it elsewhere. */
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
  /** Whether a new connection may be taken; called before a byte is read. */
  admit: (peer: { address: string; port: number }) => Disposable | null;
}

/** A fatal `unrecognized_name` alert (RFC 8446 6.2, RFC 6066 3). */
const ALERT_UNRECOGNIZED_NAME = new Uint8Array([21, 3, 3, 0, 2, 2, 112]);
/** A fatal `decode_error` alert. */
const ALERT_DECODE_ERROR = new Uint8Array([21, 3, 3, 0, 2, 2, 50]);

/**
 * Opens the one public TLS port: reads each ClientHello, and lets `decide` say who takes the connection.
 * @throws {CodedError} LISTEN_FAILED
 */
export async function listenTlsFront(options: TlsFrontOptions): Promise<Bound> {
  const shaking = new Set<net.Socket>();
  const bound = await listen(options, (socket, peer) => {
    const admitted = options.admit(peer);
    if (admitted === null) return void socket.resetAndDestroy();
    shaking.add(socket);
    socket.on("error", () => socket.destroy());
    new Handshake(socket, peer, { ...options, admitted, onDone: () => shaking.delete(socket) }).begin();
  });
  return {
    address: bound.address,
    stop: () => bound.stop(),
    async [Symbol.asyncDispose](): Promise<void> {
      await bound[Symbol.asyncDispose]();
      // What has been handed on is its owner's to close.
      for (const socket of shaking) socket.resetAndDestroy();
    },
  };
}

interface HandshakeOptions extends TlsFrontOptions {
  admitted: Disposable;
  /** It has ended, or its connection has an owner now. */
  onDone: () => void;
}

/** One connection up to its finished handshake. */
class Handshake {
  readonly #socket: net.Socket;
  readonly #peer: { address: string; port: number };
  readonly #options: HandshakeOptions;
  readonly #deadline: Deadline;
  #peeked = new Uint8Array(0);

  constructor(socket: net.Socket, peer: { address: string; port: number }, options: HandshakeOptions) {
    this.#socket = socket;
    this.#peer = peer;
    this.#options = options;
    this.#deadline = new Deadline(options.handshakeMs, () => socket.resetAndDestroy());
    socket.once("close", () => {
      this.#deadline[Symbol.dispose]();
      options.admitted[Symbol.dispose]();
      options.onDone();
    });
  }

  begin(): void {
    this.#socket.on("readable", this.#onReadable);
    this.#socket.once("end", this.#onEnd);
  }

  /** The peer left before it said what it wants. */
  readonly #onEnd = (): void => void this.#socket.destroy();

  readonly #onReadable = (): void => {
    const before = this.#peeked.length;
    // Until there is nothing: what comes while we read is not announced again.
    for (let chunk = this.#read(); chunk !== null; chunk = this.#read()) this.#peeked = concat(this.#peeked, chunk);
    if (this.#peeked.length === before) return;
    const hello = parseClientHello(this.#peeked);
    if (hello.kind === "incomplete" && this.#peeked.length < MAX_CLIENT_HELLO_BYTES) return;
    this.#socket.off("readable", this.#onReadable);
    if (hello.kind !== "hello") return this.#refuse(ALERT_DECODE_ERROR);
    const decision = this.#decide({ serverName: hello.serverName, alpn: hello.alpn, peer: this.#peer });
    if (decision.kind === "refuse") return this.#refuse(ALERT_UNRECOGNIZED_NAME);
    this.#socket.off("end", this.#onEnd);
    this.#socket.unshift(this.#peeked);
    this.#terminate(decision, hello.serverName ?? "");
  };

  #read(): Uint8Array | null {
    return this.#peeked.length < MAX_CLIENT_HELLO_BYTES ? this.#socket.read() as Uint8Array | null : null;
  }

  /** Whatever goes wrong in there concerns this connection alone (security R2, R52). */
  #decide(name: TlsName): TlsDecision {
    try {
      return this.#options.decide(name);
    } catch {
      return { kind: "refuse" };
    }
  }

  #terminate(decision: Extract<TlsDecision, { kind: "terminate" }>, serverName: string): void {
    const raw = this.#socket;
    const secure = new tls.TLSSocket(raw, {
      isServer: true,
      secureContext: decision.context,
      ALPNProtocols: ["http/1.1"],
    });
    // On a failed handshake the runtime leaves the sockets open.
    secure.on("error", () => raw.destroy());
    secure.on("_tlsError", () => raw.destroy());
    secure.once("secure", () => {
      this.#deadline[Symbol.dispose]();
      this.#options.onDone();
      const duplex = SocketDuplex.secure(secure, raw);
      decision.onConnection({ duplex, serverName, peer: this.#peer, admitted: this.#options.admitted });
    });
  }

  #refuse(alert: Uint8Array): void {
    this.#socket.end(alert, () => this.#socket.destroy());
  }
}

function concat(a: Uint8Array, b: Uint8Array): Uint8Array<ArrayBuffer> {
  const whole = new Uint8Array(a.length + b.length);
  whole.set(a);
  whole.set(b, a.length);
  return whole;
}
