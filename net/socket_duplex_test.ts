import assert from "node:assert/strict";
import type net from "node:net";
import { StreamResetError } from "../protocol/errors.ts";
import { readCertificatePair } from "./certificate.ts";
import { SocketDuplex } from "./socket_duplex.ts";
import { sharedCertificate, startTlsPair, tcpPair, tcpSockets, TEST_NAME, tlsPair } from "./testing/socket_pairs.ts";

const MIB = 1024 * 1024;

function errorOf(socket: net.Socket): Promise<string | undefined> {
  const { promise, resolve } = Promise.withResolvers<string | undefined>();
  socket.once("error", (error: Error & { code?: string }) => resolve(error.code));
  socket.once("close", () => resolve(undefined));
  return promise;
}

for (const how of ["reset", "close"] as const) {
  Deno.test(`${how}() before the end is a real RST on the wire`, async () => {
    const [dialled, accepted] = await tcpSockets();
    const duplex = new SocketDuplex(accepted);
    dialled.resume();
    const seen = errorOf(dialled);
    await duplex.write(new Uint8Array(10));
    duplex[how]();
    assert.equal(await seen, "ECONNRESET");
    await duplex.closed;
  });
}

Deno.test("a Deno.Conn sees a reset of a SocketDuplex, over TLS too, and not an end", async () => {
  const [conn, duplex] = await startTlsPair();
  await duplex.write(new Uint8Array(10));
  assert.equal((await conn.read())?.length, 10);
  const reading = assert.rejects(async () => await conn.read(), StreamResetError);
  duplex.reset();
  await reading;
  await Promise.all([conn.closed, duplex.closed]);
});

Deno.test("bytes that came before the peer's reset can be read, then the reset is seen", async () => {
  const [near, far] = await tcpPair();
  await near.write(new Uint8Array(10));
  assert.equal((await far.read())?.length, 10);
  await near.write(new Uint8Array(20));
  await far.write(new Uint8Array(1));
  assert.equal((await near.read())?.length, 1);
  near.reset();
  await far.closed;
  let bytes = 0;
  await assert.rejects(async () => {
    for (;;) bytes += (await far.read())?.length ?? assert.fail("a clean end");
  }, StreamResetError);
  assert.ok(bytes === 0 || bytes === 20);
});

Deno.test("its own reset forgets what was not read, even the end", async () => {
  const [near, far] = await tcpPair();
  await far.write(new Uint8Array(10));
  await far.closeWrite();
  assert.equal((await near.read())?.length, 10);
  near.reset();
  assert.throws(() => near.read(), StreamResetError);
  far.reset();
  await Promise.all([near.closed, far.closed]);
});

for (const [name, pair] of [["TCP", tcpPair], ["TLS", tlsPair]] as const) {
  for (const at of [0, 1] as const) {
    Deno.test(`a stopped reader holds little of 64 MiB in this process (${name}, ${at === 0 ? "client" : "server"})`, async () => {
      const both = await pair();
      const [near, far] = at === 0 ? [both[1], both[0]] : both;
      let written = 0;
      const writing = (async () => {
        while (written < 64 * MIB) {
          await near.write(new Uint8Array(65_536));
          written += 65_536;
        }
      })();
      for (let before = -1; before !== written;) {
        before = written;
        await new Promise((resolve) => setTimeout(resolve, 100));
      }
      assert.ok(written < 16 * MIB, `${written} bytes were accepted`);
      let held = 0;
      let read = far.read();
      for (; read instanceof Uint8Array; read = far.read()) held += read.length;
      const more = Promise.allSettled([read]);
      assert.ok(held > 0 && held <= 512 * 1024, `${held} bytes were held in user space`);
      const failing = assert.rejects(writing, StreamResetError);
      far.reset();
      await Promise.all([failing, more]);
      await Promise.all([near.closed, far.closed]);
    });
  }
}

Deno.test("closeAfterFlush() delivers everything and the end to a peer that keeps its own direction open", async () => {
  for (const pair of [tcpPair, tlsPair]) {
    const [near, far] = await pair();
    far.write(new Uint8Array(5)); // Unread bytes: a careless close would reset.
    assert.equal((await near.read())?.length, 5);
    for (let i = 0; i < 20; i++) await near.write(new Uint8Array(10_000));
    const closing = near.closeAfterFlush();
    let bytes = 0;
    for (let piece = await far.read(); piece !== null; piece = await far.read()) bytes += piece.length;
    assert.equal(bytes, 200_000);
    await closing;
    await near.closeAfterFlush();
    far.close();
    await far.closed;
  }
});

Deno.test("two writers may wait at once, and both go on or fail together", async () => {
  const [near, far] = await tcpPair();
  const first = near.write(new Uint8Array(8 * MIB));
  const second = near.write(new Uint8Array(1));
  assert.ok(first instanceof Promise && second instanceof Promise);
  let bytes = 0;
  while (bytes < 8 * MIB + 1) bytes += (await far.read())?.length ?? assert.fail("an end");
  await Promise.all([first, second]);
  const waiting = [near.write(new Uint8Array(32 * MIB)), near.write(new Uint8Array(1))];
  const failing = waiting.map((each) => assert.rejects(async () => await each, StreamResetError));
  near.reset();
  await Promise.all(failing);
  far.reset();
  await Promise.all([near.closed, far.closed]);
});

Deno.test("a duplex of a socket that is closed already fails at once", async () => {
  const [dialled, accepted] = await tcpSockets();
  const gone = errorOf(accepted);
  accepted.destroy();
  await gone;
  const duplex = new SocketDuplex(accepted);
  await duplex.closed;
  assert.throws(() => duplex.read(), StreamResetError);
  assert.throws(() => duplex.write(new Uint8Array(1)), StreamResetError);
  await duplex.closeWrite();
  duplex.reset();
  duplex.close();
  dialled.destroy();
});

Deno.test({
  name: "openssl s_client reads an answer to its clean end",
  ignore: Deno.env.get("CI") !== "true" && isOpensslMissing(),
  async fn() {
    const { listenTlsFront } = await import("./tls_front.ts");
    const context = readCertificatePair(await sharedCertificate()).context();
    const served = Promise.withResolvers<void>();
    const bound = await listenTlsFront({
      hostname: "127.0.0.1",
      port: 0,
      handshakeMs: 5_000,
      admit: () => ({ [Symbol.dispose]: () => {} }),
      decide: () => ({ kind: "terminate", context, onConnection: ({ duplex }) => served.resolve(answer(duplex)) }),
    });
    async function answer(duplex: SocketDuplex): Promise<void> {
      let bytes = 0;
      while (bytes < 6) bytes += (await duplex.read())?.length ?? assert.fail("an end");
      await duplex.write(new Uint8Array(300_000).fill(65));
      await duplex.closeAfterFlush();
    }
    const child = new Deno.Command("openssl", {
      args: ["s_client", "-connect", `127.0.0.1:${bound.address.port}`, "-servername", TEST_NAME, "-quiet"],
      stdin: "piped",
      stdout: "piped",
      stderr: "null",
    }).spawn();
    const writer = child.stdin.getWriter();
    await writer.write(new TextEncoder().encode("hello\n"));
    const output = await child.output();
    await writer.close().catch(() => {
      // It has left already.
    });
    assert.equal(output.stdout.length, 300_000);
    await served.promise;
    await bound[Symbol.asyncDispose]();
  },
});

function isOpensslMissing(): boolean {
  try {
    new Deno.Command("openssl", { args: ["version"], stdout: "null", stderr: "null" }).outputSync();
    return false;
  } catch {
    return true; // It cannot be started.
  }
}

Deno.test("SocketDuplex gives what was put back with room in front, as all that it gives", async () => {
  const [near, far] = await tcpPair();
  await near.write(new Uint8Array([1, 2, 3]));
  const bytes = await far.read();
  assert.ok(bytes !== null);
  far.unread(bytes.slice());
  const again = await far.read();
  assert.deepEqual([...again ?? []], [1, 2, 3]);
  assert.ok(far.headroom > 0 && (again?.byteOffset ?? 0) >= far.headroom);
  near.reset();
  far.reset();
  await Promise.all([near.closed, far.closed]);
});
