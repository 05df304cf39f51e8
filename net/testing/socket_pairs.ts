import assert from "node:assert/strict";
import net from "node:net";
import tls from "node:tls";
import { readCertificatePair } from "../certificate.ts";
import { ConnDuplex } from "../conn_duplex.ts";
import { type Bound, listen } from "../listen.ts";
import { SocketDuplex } from "../socket_duplex.ts";
import { listenTlsFront } from "../tls_front.ts";
import { type TestCertificate, testCertificate } from "./certificate.ts";

/** The name in the test certificate. */
export const TEST_NAME = "server.test";

const ANYWHERE = { hostname: "127.0.0.1", port: 0 };

let shared: Promise<TestCertificate> | undefined;

/** One certificate for {@link TEST_NAME}, made once. */
export function sharedCertificate(): Promise<TestCertificate> {
  shared ??= testCertificate(TEST_NAME);
  return shared;
}

/** A connected TCP socket of `node:net` that keeps half-close. */
export function connectSocket(port: number): Promise<net.Socket> {
  const { promise, resolve, reject } = Promise.withResolvers<net.Socket>();
  const socket = net.connect({ host: "127.0.0.1", port, allowHalfOpen: true, noDelay: true });
  socket.once("error", reject);
  socket.once("connect", () => {
    socket.off("error", reject);
    resolve(socket);
  });
  return promise;
}

/** Both ends of a TCP connection as `node:net` sockets: who dialled, who accepted. */
export async function tcpSockets(): Promise<[net.Socket, net.Socket]> {
  const accepted = Promise.withResolvers<net.Socket>();
  await using bound = await listen(ANYWHERE, (socket) => accepted.resolve(socket));
  const dialled = await connectSocket(bound.address.port);
  return [dialled, await accepted.promise];
}

/** Two {@link SocketDuplex} over TCP. */
export async function tcpPair(): Promise<[SocketDuplex, SocketDuplex]> {
  const [dialled, accepted] = await tcpSockets();
  return [SocketDuplex.plain(dialled), SocketDuplex.plain(accepted)];
}

/** Two {@link ConnDuplex} over TCP. */
export async function connPair(): Promise<[ConnDuplex, ConnDuplex]> {
  using listener = Deno.listen({ ...ANYWHERE, transport: "tcp" });
  const [dialled, accepted] = await Promise.all([
    Deno.connect({ ...ANYWHERE, port: (listener.addr as Deno.NetAddr).port }),
    listener.accept(),
  ]);
  dialled.setNoDelay(true);
  accepted.setNoDelay(true);
  return [new ConnDuplex(dialled), new ConnDuplex(accepted)];
}

/** A TLS client of `node:tls` and what the TLS front made of its connection. */
export async function tlsPair(): Promise<[SocketDuplex, SocketDuplex]> {
  const { authority } = await sharedCertificate();
  const accepted = Promise.withResolvers<SocketDuplex>();
  await using bound = await listenFront((duplex) => accepted.resolve(duplex));
  const raw = await connectSocket(bound.address.port);
  const secure = tls.connect({ socket: raw, servername: TEST_NAME, ca: authority, ALPNProtocols: ["http/1.1"] });
  await new Promise((resolve, reject) => secure.once("secureConnect", resolve).once("error", reject));
  return [new SocketDuplex(secure, { raw }), await accepted.promise];
}

/** A client of `Deno.startTls`, as our clients dial, and what the TLS front made of its connection. */
export async function startTlsPair(): Promise<[ConnDuplex, SocketDuplex]> {
  const { authority } = await sharedCertificate();
  const accepted = Promise.withResolvers<SocketDuplex>();
  await using bound = await listenFront((duplex) => accepted.resolve(duplex));
  const raw = await Deno.connect(bound.address);
  raw.setNoDelay(true);
  const conn = await Deno.startTls(raw, { hostname: TEST_NAME, caCerts: [authority], alpnProtocols: ["http/1.1"] });
  await conn.handshake();
  return [new ConnDuplex(conn), await accepted.promise];
}

async function listenFront(onDuplex: (duplex: SocketDuplex) => void): Promise<Bound> {
  const context = readCertificatePair(await sharedCertificate()).context();
  return await listenTlsFront({
    ...ANYWHERE,
    handshakeMs: 5_000,
    admit: () => ({ [Symbol.dispose]: () => {} }),
    decide: ({ serverName }) => {
      assert.equal(serverName, TEST_NAME);
      return { kind: "terminate", context, onConnection: ({ duplex }) => onDuplex(duplex) };
    },
  });
}
