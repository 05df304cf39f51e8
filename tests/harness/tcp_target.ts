import net from "node:net";
import { StreamResetError } from "../../protocol/errors.ts";
import { eventually, within } from "./wait.ts";
import { Wire, WireEndedError } from "./wire.ts";
import { freePort as freePortNow } from "../../net/testing/free_port.ts";

/** A local TCP service. */
export interface TcpTarget extends AsyncDisposable {
  readonly port: number;
  /** `127.0.0.1:port`, as a rule's target. */
  readonly address: string;
  /** Connections that came, in order. */
  readonly connections: readonly Wire[];
  /** Those that are open now. */
  readonly open: number;
  /** The next connection that nobody was given yet. */
  accept(): Promise<Wire>;
}

/** How a target listens. */
export interface TcpTargetOptions {
  /** A unix socket in place of a port. */
  path?: string;
  host?: string;
}

/**
 * Listens on a free port. Each connection is served by `serve`, and ended when that returns (its failure fails the test when the target
 * is disposed); or it waits to be taken by `accept()`.
 */
export async function tcpTarget(
  serve?: (wire: Wire, index: number) => Promise<void>,
  { path, host = "127.0.0.1" }: TcpTargetOptions = {},
): Promise<TcpTarget> {
  const connections: Wire[] = [];
  const failures: unknown[] = [];
  const serving = new Set<Promise<void>>();
  let given = 0;
  let ending = false;
  const server = net.createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
    const wire = new Wire(socket);
    const index = connections.push(wire) - 1;
    if (serve === undefined) return;
    const served = serve(wire, index)
      .then(() => wire.endWrite())
      .catch((error) => {
        if (!ending && !isEnd(error)) failures.push(error);
        wire.reset();
      })
      .finally(() => serving.delete(served));
    serving.add(served);
  });
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  server.once("error", reject);
  server.listen(path === undefined ? { host, port: 0 } : { path }, resolve);
  await within(promise, "a target to listen");
  const port = path === undefined ? (server.address() as net.AddressInfo).port : 0;
  return {
    port,
    address: path === undefined ? `${host.includes(":") ? `[${host}]` : host}:${port}` : `unix:${path}`,
    connections,
    get open() {
      return connections.filter(({ socket }) => !socket.destroyed).length;
    },
    async accept() {
      const index = given++;
      return await eventually(() => connections[index], "a connection at the target");
    },
    async [Symbol.asyncDispose]() {
      ending = true;
      const closed = new Promise<void>((done) => server.close(() => done()));
      await Promise.all(connections.map((wire) => wire[Symbol.asyncDispose]()));
      await Promise.all([...serving, closed]);
      if (failures.length > 0) throw failures[0];
    },
  };
}

/** Visitors come and go: that is no failure of the target. */
function isEnd(error: unknown): boolean {
  return error instanceof StreamResetError || error instanceof WireEndedError;
}

/** Sends back what it gets, and ends when the other side does. */
export function echoTarget(options: TcpTargetOptions = {}): Promise<TcpTarget> {
  return tcpTarget(async (wire) => {
    for (let bytes = await wire.next(); bytes !== null; bytes = await wire.next()) await wire.send(bytes);
  }, options);
}

/** A port on which nobody listens, and that nobody gets by chance. */
export function freePort(host: string = "127.0.0.1"): Promise<number> {
  return Promise.resolve(freePortNow(host));
}
