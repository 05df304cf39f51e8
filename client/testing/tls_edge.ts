import tls from "node:tls";
import { DataChannel } from "../../net/data_channel.ts";
import { Drain } from "../../net/drain.ts";
import { listen } from "../../net/listen.ts";
import { SILENT } from "../../net/log.ts";
import { memoryPair } from "../../net/memory_duplex.ts";
import { pipe } from "../../net/pipe.ts";
import { SocketDuplex } from "../../net/socket_duplex.ts";
import type { StreamOpen } from "../../protocol/stream_message.ts";
import type { Resolver } from "../resolver.ts";
import { serveStream } from "../serve_stream.ts";
import { serveTls } from "../serve_tls.ts";

/** A visitor's address that is not the one of the test. */
export const VISITOR = { address: "203.0.113.9", port: 40_112 };

/** A port like the TLS port of a server: whatever comes is passed on to a client, untouched, each connection in a stream. */
export interface TlsEdge extends AsyncDisposable {
  readonly port: number;
  /** The client takes no more work. */
  drain(): void;
  /** Streams that are not over. */
  readonly running: number;
}

/** Opens one whose streams are all of one rule; `handshakeMs` makes it impatient. */
export async function tlsEdge(
  resolver: Resolver,
  rule: string,
  { protocol = "tls", handshakeMs }: { protocol?: StreamOpen["protocol"]; handshakeMs?: number } = {},
): Promise<TlsEdge> {
  const running = new Set<Promise<unknown>>();
  const visitors = new Set<SocketDuplex>();
  const draining = new Drain();
  const options = { resolver, log: SILENT, draining };
  const bound = await listen({ hostname: "127.0.0.1", port: 0 }, (socket) => {
    const [near, far] = memoryPair({ maxRead: 10_000, keep: true });
    const server = new DataChannel(near, { client: false, opener: true, secure: true });
    const client = new DataChannel(far, {
      ...{ client: true, opener: false, secure: true },
      onStream: (stream, open) =>
        handshakeMs === undefined
          ? serveStream(stream, open, options)
          : serveTls(stream, open, { ...options, handshakeMs, site: () => resolver.site(rule) }),
    });
    const visitor = SocketDuplex.plain(socket);
    visitors.add(visitor);
    const stream = server.open({ rule, revision: 1, protocol, visitor: VISITOR });
    const served = pipe(visitor, stream, { lingerMs: 60_000 }).catch(() => {
      // The visitor sees the reset.
    }).finally(() => {
      server.close();
      client.close();
      running.delete(served);
    });
    running.add(served);
  });
  return {
    port: bound.address.port,
    drain: () => draining.begin(),
    get running() {
      return running.size;
    },
    async [Symbol.asyncDispose]() {
      await bound[Symbol.asyncDispose]();
      for (const visitor of visitors) visitor.reset();
      await Promise.all(running);
      resolver.close();
    },
  };
}

/** How a visitor connects. */
export interface TlsVisitOptions {
  readonly port: number;
  readonly serverName?: string;
  readonly ca: string;
  readonly alpn?: readonly string[];
}

/** A visitor with TLS: its connection, or the reason why there is none. */
export async function tlsVisit({ port, serverName, ca, alpn = ["http/1.1"] }: TlsVisitOptions): Promise<tls.TLSSocket> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const socket = tls.connect({
    ...{ host: "127.0.0.1", port, ca, ALPNProtocols: [...alpn], allowHalfOpen: true },
    ...(serverName === undefined ? {} : { servername: serverName }),
  });
  socket.once("secureConnect", () => resolve());
  socket.once("error", reject);
  try {
    await promise;
    socket.on("error", () => {}); // Who reads from it sees the end.
    return socket;
  } catch (error) {
    socket.destroy();
    throw error;
  }
}
