import assert from "node:assert/strict";
import type net from "node:net";
import tls from "node:tls";
import { CodedError } from "../protocol/errors.ts";
import { readCertificatePair } from "./certificate.ts";
import type { Bound } from "./listen.ts";
import { testCertificate } from "./testing/certificate.ts";
import { connectSocket, sharedCertificate, TEST_NAME } from "./testing/socket_pairs.ts";
import { listenTlsFront, type TlsConnection, type TlsDecision, type TlsName } from "./tls_front.ts";

const ALERT = { decodeError: [21, 3, 3, 0, 2, 2, 50], unrecognizedName: [21, 3, 3, 0, 2, 2, 112] };

/** A front that terminates {@link TEST_NAME} and counts what it admits. */
class Front implements AsyncDisposable {
  readonly asked: TlsName[] = [];
  readonly connections: TlsConnection[] = [];
  readonly refused: string[] = [];
  admitted = 0;
  released = 0;
  decide: (name: TlsName) => TlsDecision = ({ serverName }) =>
    serverName === TEST_NAME ? this.terminate : { kind: "refuse", error: new CodedError("UNKNOWN_HOST") };
  refuseAll = false;
  readonly #context: tls.SecureContext;
  #bound: Bound | undefined;

  constructor(context: tls.SecureContext) {
    this.#context = context;
  }

  get terminate(): TlsDecision {
    return {
      kind: "terminate",
      context: this.#context,
      onConnection: (connection) => {
        this.connections.push(connection);
        this.#greet(connection);
      },
    };
  }

  get port(): number {
    return this.#bound!.address.port;
  }

  async listen(handshakeMs: number): Promise<void> {
    this.#bound = await listenTlsFront({
      hostname: "127.0.0.1",
      port: 0,
      handshakeMs,
      admit: () => {
        if (this.refuseAll) return null;
        this.admitted++;
        let done = false;
        return {
          [Symbol.dispose]: () => {
            if (!done) this.released++;
            done = true;
          },
        };
      },
      decide: (name) => {
        this.asked.push(name);
        return this.decide(name);
      },
      onRefused: (_name, { kind }) => this.refused.push(kind),
    });
  }

  /** Settles when nothing that was admitted is left. */
  async drained(): Promise<void> {
    while (this.released < this.admitted) await new Promise((resolve) => setTimeout(resolve, 5));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const { duplex } of this.connections) duplex.reset();
    await this.#bound?.[Symbol.asyncDispose]();
    await this.drained();
  }

  /** Says hello and ends, so that a client has something to read. */
  async #greet({ duplex }: TlsConnection): Promise<void> {
    try {
      await duplex.write(new TextEncoder().encode("hello"));
      await duplex.closeWrite();
      while (await duplex.read() !== null);
    } catch {
      // The client left in its own way.
    }
  }
}

async function front(options: { handshakeMs?: number } = {}): Promise<Front> {
  const started = new Front(readCertificatePair(await sharedCertificate()).context());
  await started.listen(options.handshakeMs ?? 60_000);
  return started;
}

/** All that a raw TCP client is told, and how it ended. */
async function talk(socket: net.Socket): Promise<{ bytes: number[]; end: "end" | "reset" }> {
  const bytes: number[] = [];
  socket.on("data", (chunk: Uint8Array) => bytes.push(...chunk));
  const { promise, resolve } = Promise.withResolvers<"end" | "reset">();
  socket.once("end", () => resolve("end"));
  socket.once("error", () => resolve("reset"));
  const end = await promise;
  socket.destroy();
  return { bytes, end };
}

/** A whole TLS client: what it reads up to the end. */
async function greeted(port: number, options: tls.ConnectionOptions = {}): Promise<string> {
  const { authority } = await sharedCertificate();
  const raw = await connectSocket(port);
  const socket = tls.connect({ socket: raw, servername: TEST_NAME, ca: authority, ...options });
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  let text = "";
  socket.on("data", (chunk: Uint8Array) => text += new TextDecoder().decode(chunk));
  socket.once("end", () => resolve(text));
  socket.once("error", reject);
  raw.once("error", reject);
  try {
    return await promise;
  } finally {
    socket.destroy();
    raw.destroy();
  }
}

/** The ClientHello of node:tls for a name, caught on its way. */
async function helloFor(servername: string): Promise<Uint8Array> {
  const { promise, resolve } = Promise.withResolvers<Uint8Array>();
  const { listen } = await import("./listen.ts");
  await using bound = await listen({ hostname: "127.0.0.1", port: 0 }, (socket) => {
    socket.once("data", (chunk: Uint8Array) => {
      resolve(Uint8Array.from(chunk));
      socket.destroy();
    });
  });
  const raw = await connectSocket(bound.address.port);
  const socket = tls.connect({ socket: raw, servername });
  socket.on("error", () => raw.destroy());
  raw.on("error", () => raw.destroy());
  const hello = await promise;
  socket.destroy();
  raw.destroy();
  return hello;
}

Deno.test("the front terminates a name it knows, and tells who came with what", async () => {
  await using server = await front();
  assert.equal(await greeted(server.port, { ALPNProtocols: ["http/1.1"] }), "hello");
  const [asked] = server.asked;
  const [connection] = server.connections;
  assert.deepEqual([asked?.serverName, asked?.alpn, asked?.peer.address], [TEST_NAME, ["http/1.1"], "127.0.0.1"]);
  assert.deepEqual([connection?.serverName, connection?.peer], [TEST_NAME, asked?.peer]);
  connection?.duplex.close();
  await server.drained();
});

Deno.test("the name counts whatever its case", async () => {
  await using server = await front();
  await greeted(server.port, { servername: TEST_NAME.toUpperCase(), checkServerIdentity: () => undefined });
  assert.equal(server.connections[0]?.serverName, TEST_NAME);
});

Deno.test("an unknown name and no name get an alert, and no default host", async () => {
  await using server = await front();
  for (const name of ["other.test", ""]) {
    const socket = await connectSocket(server.port);
    socket.write(name === "" ? withoutServerName(await helloFor(TEST_NAME)) : await helloFor(name));
    assert.deepEqual(await talk(socket), { bytes: ALERT.unrecognizedName, end: "end" });
  }
  assert.deepEqual(server.asked.map(({ serverName }) => serverName), ["other.test", undefined]);
  assert.deepEqual(server.connections, []);
  await server.drained();
});

/** The same hello with the type of its server_name extension changed to one that nobody knows. */
function withoutServerName(hello: Uint8Array): Uint8Array {
  const name = new TextEncoder().encode(TEST_NAME);
  const at = hello.findIndex((_, i) => name.every((byte, j) => hello[i + j] === byte));
  assert.ok(at > 9);
  const changed = hello.slice();
  changed.set([0xfa, 0xfa], at - 9);
  return changed;
}

Deno.test("garbage gets an alert at once, an endless hello after 16 KiB", async () => {
  await using server = await front();
  for (
    const garbage of [new TextEncoder().encode("GET / HTTP/1.1\r\n\r\n"), Uint8Array.of(22, 3, 1, 0, 4, 2, 0, 0, 0)]
  ) {
    const socket = await connectSocket(server.port);
    socket.write(garbage);
    assert.deepEqual(await talk(socket), { bytes: ALERT.decodeError, end: "end" });
  }
  const endless = await connectSocket(server.port);
  const tiny = Uint8Array.of(22, 3, 1, 0, 1, 0);
  endless.write(Uint8Array.from([22, 3, 1, 0, 4, 1, 0, 0x3f, 0xf0, ...new Array(3000).fill([...tiny]).flat()]));
  const { bytes } = await talk(endless);
  assert.ok(bytes.length === 0 || bytes.join() === ALERT.decodeError.join());
  assert.deepEqual(server.asked, []);
  await server.drained();
});

Deno.test("a hello may come byte by byte, and in many records", async () => {
  await using server = await front();
  const hello = await helloFor("other.test");
  const slow = await connectSocket(server.port);
  const told = talk(slow);
  for (const byte of hello) {
    slow.write(Uint8Array.of(byte));
    if (byte % 16 === 0) await new Promise((resolve) => setTimeout(resolve, 0));
  }
  assert.deepEqual(await told, { bytes: ALERT.unrecognizedName, end: "end" });
  const records: number[] = [];
  for (let at = 5; at < hello.length; at += 9) {
    const piece = hello.subarray(at, at + 9);
    records.push(22, 3, 1, 0, piece.length, ...piece);
  }
  const split = await connectSocket(server.port);
  split.write(Uint8Array.from(records));
  assert.deepEqual(await talk(split), { bytes: ALERT.unrecognizedName, end: "end" });
  assert.deepEqual(server.asked.map(({ serverName }) => serverName), ["other.test", "other.test"]);
});

Deno.test("a handshake succeeds whose bytes come in small pieces", async () => {
  await using server = await front();
  const { listen } = await import("./listen.ts");
  const pieceBytes = [1, 7, 60, 200];
  /** Hands on what comes in pieces, one after the other. */
  async function relay(from: net.Socket, to: net.Socket, size: number): Promise<void> {
    for await (const chunk of from as AsyncIterable<Uint8Array>) {
      for (let at = 0; at < chunk.length; at += size) {
        to.write(chunk.subarray(at, at + size));
        if (at / size % 8 === 0) await new Promise((resolve) => setTimeout(resolve, 0));
      }
    }
    to.end();
  }
  for (const size of pieceBytes) {
    const relaying = Promise.withResolvers<void>();
    await using splitter = await listen({ hostname: "127.0.0.1", port: 0 }, async (socket) => {
      const upstream = await connectSocket(server.port);
      await Promise.allSettled([relay(socket, upstream, size), relay(upstream, socket, 10_000)]);
      for (const each of [socket, upstream]) each.destroy();
      relaying.resolve();
    });
    assert.equal(await greeted(splitter.address.port), "hello", `pieces of ${size}`);
    await relaying.promise;
  }
});

Deno.test("a connection that is not admitted is reset before a byte is read", async () => {
  await using server = await front();
  server.refuseAll = true;
  try {
    assert.deepEqual(await talk(await connectSocket(server.port)), { bytes: [], end: "reset" });
  } catch (error) {
    assert.equal((error as { code?: string }).code, "ECONNRESET"); // Before the connect was even told.
  }
  assert.deepEqual([server.asked, server.admitted], [[], 0]);
});

Deno.test("a peer that leaves before its hello is complete leaves nothing behind, and was not refused", async () => {
  await using server = await front();
  const hello = await helloFor(TEST_NAME);
  for (
    const [bytes, how] of [[0, "end"], [100, "end"], [100, "resetAndDestroy"], [
      hello.length,
      "resetAndDestroy",
    ]] as const
  ) {
    const socket = await connectSocket(server.port);
    if (bytes > 0) await new Promise((resolve) => socket.write(hello.subarray(0, bytes), resolve));
    socket.on("error", () => socket.destroy());
    socket.resume();
    socket[how]();
    socket.once("end", () => socket.destroy());
  }
  while (server.admitted < 4) await new Promise((resolve) => setTimeout(resolve, 5));
  await server.drained();
  assert.deepEqual(server.refused, []);
});

Deno.test("a stalled peer is cut at the deadline: silent, within its hello, and within the handshake", async () => {
  await using server = await front({ handshakeMs: 1 });
  const hello = await helloFor(TEST_NAME);
  for (const part of [new Uint8Array(0), hello.subarray(0, 50), hello]) {
    const socket = await connectSocket(server.port);
    if (part.length > 0) socket.write(part);
    assert.equal((await talk(socket)).end, "reset");
  }
  await server.drained();
  assert.deepEqual(server.connections, []);
});

Deno.test("a peer that ends within its handshake is let go at once", async () => {
  await using server = await front();
  const socket = await connectSocket(server.port);
  const told = talk(socket);
  socket.end(await helloFor(TEST_NAME));
  await told;
  await server.drained();
  assert.deepEqual(server.connections, []);
});

Deno.test("the deadline of the handshake does not cut a finished connection", async () => {
  await using server = await front({ handshakeMs: 400 });
  const { authority } = await sharedCertificate();
  const raw = await connectSocket(server.port);
  const socket = tls.connect({ socket: raw, servername: TEST_NAME, ca: authority });
  await new Promise((resolve) => socket.once("secureConnect", resolve));
  socket.resume();
  await new Promise((resolve) => setTimeout(resolve, 800));
  const [connection] = server.connections;
  assert.ok(connection !== undefined);
  const { duplex } = connection;
  let gone = false;
  duplex.closed.then(() => gone = true);
  await new Promise((resolve) => setTimeout(resolve, 0));
  assert.equal(gone, false);
  socket.destroy();
  raw.destroy();
});

Deno.test("a failed handshake releases everything: a client that does not trust us, and one that only speaks TLS 1.1", async () => {
  await using server = await front();
  const stranger = await testCertificate(TEST_NAME);
  await assert.rejects(() => greeted(server.port, { ca: stranger.authority }));
  const old = Uint8Array.from(await helloFor(TEST_NAME));
  old.set([3, 2], 9); // legacy_version 1.1
  const supported = old.findIndex((byte, i) => byte === 0 && old[i + 1] === 43 && old[i + 2] === 0 && old[i + 3]! < 10);
  assert.ok(supported > 0);
  old.set([0xfb, 0xfb], supported); // No supported_versions.
  const socket = await connectSocket(server.port);
  socket.write(old);
  const { bytes } = await talk(socket);
  assert.equal(bytes[0], 21);
  assert.equal(server.asked.length, 2);
  await server.drained();
  assert.equal(server.connections.length, 0);
});

Deno.test("a decision that throws refuses its connection and no other", async () => {
  await using server = await front();
  const decide = server.decide;
  server.decide = () => {
    throw new Error("odd");
  };
  const socket = await connectSocket(server.port);
  socket.write(await helloFor(TEST_NAME));
  assert.deepEqual(await talk(socket), { bytes: ALERT.unrecognizedName, end: "end" });
  server.decide = decide;
  assert.equal(await greeted(server.port), "hello");
});

Deno.test("an owner that throws when it is handed a connection loses that one and no other (R52)", async () => {
  await using server = await front();
  const { decide } = server;
  for (const kind of ["terminate", "pass"] as const) {
    server.decide = () => ({
      ...(kind === "terminate" ? server.terminate : { kind }),
      onConnection: () => {
        throw new Error("odd");
      },
    } as TlsDecision);
    // The client's runtime shows a reset as an end at times.
    assert.equal(await greeted(server.port).catch(() => ""), "");
  }
  assert.deepEqual(server.refused, ["INTERNAL", "INTERNAL"]);
  server.decide = decide;
  assert.equal(await greeted(server.port), "hello");
});

Deno.test("a certificate may be changed from one handshake to the next", async () => {
  await using server = await front();
  assert.equal(await greeted(server.port), "hello");
  const next = await testCertificate(TEST_NAME);
  const context = readCertificatePair(next).context();
  server.decide = () => ({ ...server.terminate, context } as TlsDecision);
  await assert.rejects(() => greeted(server.port));
  assert.equal(await greeted(server.port, { ca: next.authority }), "hello");
});

Deno.test("disposing the front cuts who is still shaking hands", async () => {
  const server = await front();
  const socket = await connectSocket(server.port);
  const told = talk(socket);
  socket.write(Uint8Array.of(22));
  while (server.admitted === 0) await new Promise((resolve) => setTimeout(resolve, 5));
  await server[Symbol.asyncDispose]();
  assert.equal((await told).end, "reset");
});

Deno.test("listenTlsFront() says when the port is taken", async () => {
  await using server = await front();
  await assert.rejects(() =>
    listenTlsFront({
      hostname: "127.0.0.1",
      port: server.port,
      handshakeMs: 1,
      admit: () => null,
      decide: () => ({ kind: "refuse", error: new CodedError("UNKNOWN_HOST") }),
    }), (error: unknown) => error instanceof CodedError && error.kind === "LISTEN_FAILED");
});
