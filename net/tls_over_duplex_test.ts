import assert from "node:assert/strict";
import type net from "node:net";
import tls from "node:tls";
import { programTest } from "./testing/programs.ts";
import type { Duplex } from "./duplex.ts";
import { listen } from "./listen.ts";
import { memoryPair } from "./memory_duplex.ts";
import { pipe } from "./pipe.ts";
import { SocketDuplex } from "./socket_duplex.ts";
import { type DuplexPair, testDuplex } from "./testing/duplex_conformance.ts";
import { connectSocket, sharedCertificate, tcpPair, TEST_NAME } from "./testing/socket_pairs.ts";
import { readCertificatePair } from "./certificate.ts";
import { TlsCarrier } from "./tls_carrier.ts";
import { terminateTls } from "./tls_over_duplex.ts";

/** A record of application data. */
const FORGED = Uint8Array.from([23, 3, 3, 0, 32, ...new Array(32).fill(5)]);
const OPTIONS = { handshakeMs: 10_000, alpn: ["http/1.1"] };

/** A TLS client over TCP, and what became of its connection after `carry`. */
async function tlsOver(carry: (accepted: Duplex) => Duplex): Promise<[near: SocketDuplex, far: Duplex]> {
  const certificate = await sharedCertificate();
  const accepted = Promise.withResolvers<Duplex>();
  await using bound = await listen(
    { hostname: "127.0.0.1", port: 0 },
    (socket) => accepted.resolve(SocketDuplex.plain(socket)),
  );
  const raw = await connectSocket(bound.address.port);
  const secure = tls.connect({
    ...{ socket: raw, servername: TEST_NAME, ca: certificate.authority, ALPNProtocols: ["http/1.1"] },
  });
  const carried = carry(await accepted.promise);
  const [far] = await Promise.all([
    terminateTls(carried, { ...OPTIONS, context: readCertificatePair(certificate).context() }),
    new Promise((resolve, reject) => secure.once("secureConnect", resolve).once("error", reject)),
  ]);
  return [new SocketDuplex(secure, { raw }), far];
}

testDuplex("TLS over a socket", async (): Promise<DuplexPair> => {
  const [near, far] = await tlsOver((accepted) => accepted);
  return { near, far };
}, { resetIsSeen: true, maxHeldBytes: 24 * 1024 * 1024 });

testDuplex("TLS over a socket, from the end that has the certificate,", async (): Promise<DuplexPair> => {
  const [near, far] = await tlsOver((accepted) => accepted);
  return { near: far, far: near };
}, { resetIsSeen: true, maxHeldBytes: 24 * 1024 * 1024 });

testDuplex("TLS over memory with small pieces", async (): Promise<DuplexPair> => {
  let piped: Promise<unknown> = Promise.resolve();
  const [near, far] = await tlsOver((accepted) => {
    const [up, down] = memoryPair({ maxRead: 1000, keep: true });
    piped = pipe(accepted, up, { lingerMs: 60_000 }).catch(() => {
      // Both ends were reset.
    });
    return down;
  });
  return { near, far, dispose: () => piped.then(() => {}) };
}, { resetIsSeen: true, maxHeldBytes: 24 * 1024 * 1024 });

/** What a raw TCP peer of a TLS end gets: the connection, and what comes of it. */
async function rawPeer(options: Partial<typeof OPTIONS> = {}): Promise<{ raw: Duplex; ended: Promise<Duplex> }> {
  const [raw, accepted] = await tcpPair();
  const context = readCertificatePair(await sharedCertificate()).context();
  const ended = terminateTls(accepted, { ...OPTIONS, ...options, context });
  ended.catch(() => {}); // Looked at later.
  return { raw, ended };
}

/** The bytes of a ClientHello, and the ends of the connection that it was meant for. */
async function clientHello(alpn: string[]): Promise<Uint8Array> {
  const [raw, accepted] = await tcpPair();
  const stream = tls.connect({ socket: asSocket(raw), servername: TEST_NAME, ALPNProtocols: alpn });
  stream.on("error", () => {}); // Nobody answers.
  const hello = (await accepted.read())!.slice();
  stream.destroy();
  accepted.reset();
  raw.reset();
  return hello;
}

function asSocket(duplex: Duplex): net.Socket {
  return new TlsCarrier(duplex) as unknown as net.Socket;
}

programTest(
  "terminateTls() tells a client by an alert why there is no handshake, and ends cleanly",
  ["openssl"],
  async () => {
    const context = readCertificatePair(await sharedCertificate()).context();
    const refused = Promise.withResolvers<unknown>();
    await using bound = await listen({ hostname: "127.0.0.1", port: 0 }, (socket) => {
      terminateTls(SocketDuplex.plain(socket), { ...OPTIONS, context }).then(refused.resolve, refused.resolve);
    });
    const args = ["s_client", "-connect", `127.0.0.1:${bound.address.port}`, "-servername", TEST_NAME, "-alpn", "h2"];
    const { stderr } = await new Deno.Command("openssl", { args, stdin: "null", stdout: "null", stderr: "piped" })
      .output();
    assert.match(new TextDecoder().decode(stderr), /alert no application protocol/);
    assert.match(String(await refused.promise), /TLS handshake failed/);
  },
);

Deno.test("terminateTls() lets nothing out of it, whatever is sent in place of a handshake", async () => {
  const hello = await clientHello(["http/1.1"]);
  for (let at = 0; at < 120; at++) {
    const { raw, ended } = await rawPeer();
    const bytes = hello.slice();
    // One wrong byte, in the header, the message or its extensions; or all of it.
    if (at === 0) crypto.getRandomValues(bytes);
    else bytes[(at * 7) % bytes.length]! ^= 1 << at % 8;
    await raw.write(bytes);
    await raw.closeWrite();
    await assert.rejects(ended, { kind: "STREAM_RESET" }, `${at}`);
    raw.reset();
  }
});

Deno.test("terminateTls() gives up who is silent, in the middle of a handshake too", async () => {
  const hello = await clientHello(["http/1.1"]);
  for (const sent of [0, 20, hello.length]) {
    const { raw, ended } = await rawPeer({ handshakeMs: 1 });
    if (sent > 0) await raw.write(hello.subarray(0, sent));
    await assert.rejects(ended, { kind: "STREAM_RESET" });
    raw.reset();
    await raw.closed;
  }
});

Deno.test("terminateTls() fails when its connection is reset under it", async () => {
  const { raw, ended } = await rawPeer();
  raw.reset();
  await assert.rejects(ended, { kind: "STREAM_RESET" });
});

for (
  const [what, interfere] of [
    ["ends without close_notify was cut", (under) => under.closeWrite()],
    ["goes on with something else was cut", (under) => under.write(crypto.getRandomValues(new Uint8Array(3000)))],
    ["goes on with a record that nobody encrypted was cut", (under) => under.write(FORGED)],
  ] as [string, (under: Duplex) => unknown][]
) {
  Deno.test(`TLS that ${what}`, async () => {
    const [dialled, accepted] = await tcpPair();
    const certificate = await sharedCertificate();
    const client = tls.connect({ socket: asSocket(dialled), servername: TEST_NAME, ca: certificate.authority });
    client.on("error", () => {}); // It is told by an alert.
    const ended = await terminateTls(accepted, { ...OPTIONS, context: readCertificatePair(certificate).context() });
    client.write("part of a whole");
    assert.equal(new TextDecoder().decode(await ended.read() ?? undefined), "part of a whole");
    await interfere(dialled);
    await assert.rejects(async () => await ended.read(), { kind: "STREAM_RESET" });
    await assert.rejects(async () => await ended.write(new Uint8Array(10)), { kind: "STREAM_RESET" });
    ended.reset();
    client.destroy();
    dialled.reset();
    await Promise.all([dialled.closed, accepted.closed]);
  });
}

Deno.test("TLS reads no more than a stream may hold while its plaintext is not taken", async () => {
  let given = 0;
  const [near, far] = await tlsOver((accepted) => counting(accepted, (count) => given += count));
  const total = 4 * 1024 * 1024;
  const writing = (async () => {
    await near.write(new Uint8Array(total));
    await near.closeWrite();
  })();
  let taken = 0;
  for (let bytes = await far.read(); bytes !== null; bytes = await far.read()) {
    // Whatever can be read ahead has been, when the timers are looked at.
    await new Promise((resolve) => setTimeout(resolve, 0));
    taken += bytes.length;
    assert.ok(given - taken < 256 * 1024, `${given - taken} bytes are held`);
  }
  assert.equal(taken, total);
  await writing;
  await far.closeWrite();
  near.close();
  far.close();
  near.reset();
  await Promise.all([near.closed, far.closed]);
});

/** Tells how many bytes were read from a connection. */
function counting(duplex: Duplex, onRead: (count: number) => void): Duplex {
  return {
    async read() {
      const bytes = await duplex.read();
      onRead(bytes?.length ?? 0);
      return bytes;
    },
    write: (bytes) => duplex.write(bytes),
    closeWrite: () => duplex.closeWrite(),
    reset: (reason) => duplex.reset(reason),
    close: () => duplex.close(),
    closed: duplex.closed,
  };
}
