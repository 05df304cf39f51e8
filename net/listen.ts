import net from "node:net";
import { CodedError } from "../protocol/errors.ts";

/** Where a visitor or tunnel connection comes from. */
export interface Peer {
  address: string;
  port: number;
}

/** A listener that is open. */
export interface Bound extends AsyncDisposable {
  readonly address: { hostname: string; port: number };
  /** Takes no more connections; those that are open go on. Idempotent. */
  stop(): void;
}

/** Connections the kernel may hold before we accept them: bursts, not queues. */
const BACKLOG = 511;

/** Every address of the machine, IPv4 and IPv6. */
export const EVERY_ADDRESS = "::";
/** What a machine without IPv6 says to {@link EVERY_ADDRESS}. */
const NO_IPV6: ReadonlySet<unknown> = new Set(["EAFNOSUPPORT", "EADDRNOTAVAIL", "EINVAL"]);

/** What people need to know, in place of what the system says. */
const REASONS: ReadonlyMap<string | undefined, string> = new Map([
  ["EADDRINUSE", "another program uses it"],
  ["EACCES", "this user may not open the port; those below 1024 need a privilege"],
  ["EADDRNOTAVAIL", "this machine has no such address"],
  ["EINVAL", "this machine has no such address"], // What the runtime makes of EADDRNOTAVAIL.
]);

/**
 * Opens a TCP listener whose sockets keep half-close and send at once. {@link EVERY_ADDRESS} is every IPv4 address on a machine
 * without IPv6.
 * @throws {CodedError} LISTEN_FAILED, with the reason in its message
 */
export async function listen(
  address: { hostname: string; port: number },
  onSocket: (socket: net.Socket, peer: Peer) => void,
): Promise<Bound> {
  try {
    return await listenOn(address, onSocket);
  } catch (error) {
    const { cause } = error as { cause?: { code?: string } };
    if (address.hostname !== EVERY_ADDRESS || !NO_IPV6.has(cause?.code)) throw error;
    return await listenOn({ hostname: "0.0.0.0", port: address.port }, onSocket);
  }
}

function listenOn(
  address: { hostname: string; port: number },
  onSocket: (socket: net.Socket, peer: Peer) => void,
): Promise<Bound> {
  const { promise, resolve, reject } = Promise.withResolvers<Bound>();
  const server = net.createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
    const { remoteAddress, remotePort } = socket;
    // A peer that vanished between the kernel's accept and ours has no address.
    if (remoteAddress === undefined) return void socket.destroy();
    try {
      onSocket(socket, { address: remoteAddress, port: remotePort ?? 0 });
    } catch {
      // Whatever is wrong with this connection concerns no other (security R2).
      socket.destroy();
    }
  });
  let closed: Promise<void> | null = null;
  function stop(): void {
    closed ??= new Promise((done) => server.close(() => done()));
  }
  server.once("error", (cause: Error & { code?: string }) => {
    const where = `${address.hostname}:${address.port}`;
    const reason = REASONS.get(cause.code) ?? cause.message;
    reject(new CodedError("LISTEN_FAILED", `Cannot listen on ${where}: ${reason}`, { cause }));
  });
  server.listen({ host: address.hostname, port: address.port, backlog: BACKLOG }, () => {
    const bound = server.address() as net.AddressInfo;
    server.removeAllListeners("error");
    server.on("error", () => {
      // A failed accept (out of descriptors) concerns one visitor, not the listener.
    });
    resolve({
      address: { hostname: bound.address, port: bound.port },
      stop,
      [Symbol.asyncDispose](): Promise<void> {
        stop();
        // Settled by the listener's end; connections are their owners' to close.
        return Promise.resolve();
      },
    });
  });
  return promise;
}
