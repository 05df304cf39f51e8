import net from "node:net";
import { SocketDuplex } from "../../net/socket_duplex.ts";
import { CodedError, type ErrorName } from "../../protocol/errors.ts";

/** How one address is dialled. */
export interface DialAddressOptions {
  /** What is told of it when it fails. */
  readonly what: string;
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
}

const FAILURES: ReadonlyMap<string, ErrorName> = new Map<string, ErrorName>([
  ["ECONNREFUSED", "TARGET_REFUSED"],
  ["ECONNRESET", "TARGET_REFUSED"],
  ["ETIMEDOUT", "TARGET_TIMEOUT"],
]);

/**
 * Connects to an address, as it is: nothing is looked up.
 * @throws {CodedError} TARGET_REFUSED, TARGET_TIMEOUT, TARGET_UNREACHABLE
 */
export function dialAddress(
  { address, port }: { address: string; port: number },
  { what, timeoutMs, signal }: DialAddressOptions,
): Promise<SocketDuplex> {
  signal.throwIfAborted();
  const { promise, resolve, reject } = Promise.withResolvers<SocketDuplex>();
  const socket = net.connect({ host: address, port, allowHalfOpen: true, noDelay: true });
  const timer = setTimeout(
    () => fail(new CodedError("TARGET_TIMEOUT", `${what} did not answer in time`)),
    timeoutMs,
  );
  function settle(): void {
    clearTimeout(timer);
    signal.removeEventListener("abort", onAbort);
    socket.off("error", onError);
  }
  function fail(reason: unknown): void {
    settle();
    socket.on("error", () => {}); // It has been given up: what it still says is of no interest.
    socket.destroy();
    reject(reason);
  }
  function onAbort(): void {
    fail(signal.reason);
  }
  function onError(cause: Error & { code?: string }): void {
    const kind = FAILURES.get(cause.code ?? "") ?? "TARGET_UNREACHABLE";
    fail(new CodedError(kind, `${what} cannot be reached: ${cause.code ?? cause.message}`, { cause }));
  }
  signal.addEventListener("abort", onAbort, { once: true });
  socket.once("error", onError);
  socket.once("connect", () => {
    settle();
    resolve(SocketDuplex.plain(socket));
  });
  return promise;
}
