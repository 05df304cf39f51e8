import net from "node:net";
import tls from "node:tls";
import { SocketDuplex } from "../net/socket_duplex.ts";
import { CodedError, type ErrorName, toCodedError } from "../protocol/errors.ts";
import { encodeProxyHeader, type Endpoint } from "../protocol/proxy_protocol.ts";
import { describeTarget, type ParsedTarget } from "./target.ts";

/** A local service answers a connect within this time, or it is not there. */
const DIAL_TIMEOUT_MS = 10_000;

/** A target that bytes are sent to, as opposed to a folder. */
export type SocketTarget = Exclude<ParsedTarget, { kind: "folder" }>;

/** How to connect. */
export interface DialTargetOptions {
  /** Do not verify the certificate of an `https://` target. */
  insecure?: boolean;
  /** Tell the target for whom, by a PROXY protocol header in front of all else, also of TLS. */
  proxyFor?: Endpoint;
}

const FAILURES: ReadonlyMap<string, ErrorName> = new Map<string, ErrorName>([
  ["ECONNREFUSED", "TARGET_REFUSED"],
  ["ECONNRESET", "TARGET_REFUSED"],
  ["ETIMEDOUT", "TARGET_TIMEOUT"],
  ["ENOTFOUND", "TARGET_DNS"],
  ["EAI_AGAIN", "TARGET_DNS"],
  ["ENOENT", "TARGET_SOCKET_MISSING"],
  ["EACCES", "TARGET_DENIED"],
  ["EPERM", "TARGET_DENIED"],
]);

/**
 * Connects to a target.
 * @throws {CodedError} TARGET_REFUSED, TARGET_TIMEOUT, TARGET_DNS, TARGET_SOCKET_MISSING, TARGET_UNREACHABLE, TARGET_DENIED, TARGET_TLS
 */
export async function dialTarget(target: SocketTarget, options: DialTargetOptions = {}): Promise<SocketDuplex> {
  const { proxyFor } = options;
  if (target.kind !== "https") {
    if (proxyFor === undefined) return await connect(target, SocketDuplex.plain);
    return await connect(target, (connected) => withHeader(connected, target, proxyFor));
  }
  const socket = await connect(target, (connected) => connected);
  if (proxyFor !== undefined) await writeHeader(socket, target, proxyFor);
  return SocketDuplex.secure(await secure(socket, target, options), socket);
}

async function withHeader(socket: net.Socket, to: SocketTarget, visitor: Endpoint): Promise<SocketDuplex> {
  const facts = { remoteAddress: socket.remoteAddress, remotePort: socket.remotePort };
  const target = SocketDuplex.plain(socket);
  try {
    await target.write(proxyHeader(visitor, facts));
    return target;
  } catch (cause) {
    target.reset(cause);
    throw headerFailed(to, cause);
  }
}

/** In front of TLS, which begins on the socket after this. */
async function writeHeader(socket: net.Socket, to: SocketTarget, visitor: Endpoint): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  socket.once("error", reject);
  try {
    socket.write(proxyHeader(visitor, socket), (error) => error ? reject(error) : resolve());
    await promise;
    socket.off("error", reject);
  } catch (cause) {
    socket.destroy();
    throw headerFailed(to, cause);
  }
}

function headerFailed(target: SocketTarget, cause: unknown): CodedError {
  return new CodedError("TARGET_UNREACHABLE", message(target, toCodedError(cause).message), { cause });
}

/**
 * The visitor as source; as destination the address of the target itself, since where the visitor connected to is not known here. A unix
 * socket has none: it gets the unspecified one.
 */
function proxyHeader(
  visitor: Endpoint,
  { remoteAddress, remotePort }: { remoteAddress?: string | undefined; remotePort?: number | undefined },
): Uint8Array {
  const unspecified = { address: visitor.address.includes(":") ? "::" : "0.0.0.0", port: 0 };
  const destination = remoteAddress === undefined || remotePort === undefined
    ? unspecified
    : { address: remoteAddress, port: remotePort };
  return encodeProxyHeader({ source: visitor, destination });
}

/** `take` gets the socket in the event that says it is connected: a moment later there may be bytes in it. */
function connect<T>(target: SocketTarget, take: (socket: net.Socket) => T | Promise<T>): Promise<T> {
  const { promise, resolve, reject } = Promise.withResolvers<T>();
  const socket = net.connect({
    ...(target.kind === "unix" ? { path: target.path } : { host: target.host, port: target.port }),
    allowHalfOpen: true,
    noDelay: true,
  });
  const timer = setTimeout(
    () => fail(new CodedError("TARGET_TIMEOUT", message(target, "no answer in 10 s"))),
    DIAL_TIMEOUT_MS,
  );
  function fail(error: CodedError): void {
    clearTimeout(timer);
    socket.destroy();
    reject(error);
  }
  function onError(cause: Error & { code?: string }): void {
    fail(
      new CodedError(FAILURES.get(cause.code ?? "") ?? "TARGET_UNREACHABLE", message(target, reasonOf(cause)), {
        cause,
      }),
    );
  }
  socket.once("error", onError);
  socket.once("connect", () => {
    clearTimeout(timer);
    socket.off("error", onError);
    resolve(take(socket));
  });
  return promise;
}

function secure(
  raw: net.Socket,
  target: Extract<SocketTarget, { kind: "https" }>,
  options: DialTargetOptions,
): Promise<tls.TLSSocket> {
  const { promise, resolve, reject } = Promise.withResolvers<tls.TLSSocket>();
  const socket = tls.connect({
    socket: raw,
    ...(net.isIP(target.host) === 0 ? { servername: target.host } : {}),
    // Said out loud, since an environment variable could otherwise switch verification off for everything.
    rejectUnauthorized: options.insecure !== true,
    ALPNProtocols: ["http/1.1"],
  });
  const timer = setTimeout(() => fail("no handshake in 10 s"), DIAL_TIMEOUT_MS);
  function fail(reason: string, cause?: unknown): void {
    clearTimeout(timer);
    raw.destroy();
    reject(new CodedError("TARGET_TLS", message(target, reason), { cause }));
  }
  const onError = (cause: Error): void => fail(cause.message, cause);
  socket.once("error", onError);
  socket.once("secureConnect", () => {
    clearTimeout(timer);
    socket.off("error", onError);
    resolve(socket);
  });
  return promise;
}

function message(target: SocketTarget, reason: string): string {
  return `Cannot reach the target ${describeTarget(target)}: ${reason}`;
}

function reasonOf(error: Error & { code?: string }): string {
  switch (error.code) {
    case "ECONNREFUSED":
      return "connection refused";
    case "ENOTFOUND":
    case "EAI_AGAIN":
      return "the name cannot be resolved";
    case "ENOENT":
      return "there is no such socket";
    case "ETIMEDOUT":
      return "no answer";
    case "EACCES":
    case "EPERM":
      return "permission denied";
    default:
      return error.code ?? error.message;
  }
}
