import assert from "node:assert/strict";
import {
  connectTcp,
  eventually,
  request,
  requestText,
  type ServerSetup,
  startServer,
  startTunnel,
  type TcpTarget,
  tcpTarget,
  type TestServer,
  type TestTunnel,
  type Wire,
} from "./harness.ts";
import { certificateFolder, connectTls, helloFor } from "./harness/tls.ts";

const HOUR_MS = 3_600_000;
/** Loopback is exempt from the limits of one address, so visitors come from elsewhere by the word of a balancer. */
const BALANCER = "127.0.0.2";
const UNRECOGNIZED_NAME = "15 03 03 00 02 02 70";

/** A server with TLS of all kinds, whose every time is an hour. */
interface Setup extends AsyncDisposable {
  readonly server: TestServer;
  readonly tunnel: TestTunnel;
  readonly target: TcpTarget;
  /** A name whose TLS ends at the server, and one whose TLS ends at the target. */
  readonly names: { readonly here: string; readonly there: string };
  /** Connects from an address, and says this first. */
  from(address: string, port: number, first?: Uint8Array | string): Promise<Wire>;
}

async function setUp(limits: ServerSetup["limits"]): Promise<Setup> {
  await using stack = new AsyncDisposableStack();
  const target = stack.use(await tcpTarget());
  const certificates = stack.use(await certificateFolder());
  await certificates.put("wildcard.pem", "*.tunnels.localhost");
  const server = stack.use(
    await startServer({
      ...{ certificatesDir: certificates.path, proxyProtocol: { from: [BALANCER] } },
      limits: { tlsHandshakeMs: HOUR_MS, firstByteMs: HOUR_MS, headMs: HOUR_MS, ...limits },
    }),
  );
  const tunnel = stack.use(await startTunnel(server));
  const here = tunnel.hostname;
  const there = `there.${here}`;
  await tunnel.publish([
    { kind: "http", target: () => new Response("here") },
    { kind: "http", domain: there, target: target.address, tls: { end: "target", target: target.address } },
  ]);
  const wires = stack.use(new AsyncDisposableStack());
  const all = stack.move();
  return {
    ...{ server, tunnel, target, names: { here, there } },
    async from(address, port, first = "") {
      const wire = wires.use(await connectTcp(port, { from: BALANCER }));
      // A connection that is too many may be reset before it has said a word.
      const gone = (): void => {
        // Whoever reads from it sees as much.
      };
      await wire.send(`PROXY TCP4 ${address} 192.0.2.99 1 2\r\n`).catch(gone);
      if (first.length > 0) await wire.send(first).catch(gone);
      return wire;
    },
    [Symbol.asyncDispose]: () => all.disposeAsync(),
  };
}

/** What it was told, in hexadecimal, and how it ended. */
async function told(wire: Wire): Promise<string> {
  const { bytes, end } = await wire.readToEnd();
  return `${[...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join(" ")}${end === "reset" ? "reset" : ""}`;
}

Deno.test("passed-on visitors of one address, challenges among them, count together with those over HTTP", async () => {
  await using setup = await setUp({ visitorsPerAddress: 3 });
  const { server, target, names } = setup;
  const hello = await helloFor(names.there);
  const challenge = await helloFor(names.there, ["acme-tls/1"]);
  const first = await setup.from("192.0.2.1", server.tlsPort, hello);
  await target.accept();
  await setup.from("192.0.2.1", server.tlsPort, challenge);
  await target.accept();
  await setup.from("192.0.2.1", server.httpPort, "GET / HT");
  await eventually(async () => await server.metric("spokes_http_visitors") === 1, "the third to count");
  for (const one of [hello, challenge]) {
    assert.equal(await told(await setup.from("192.0.2.1", server.tlsPort, one)), UNRECOGNIZED_NAME);
  }
  assert.equal(await told(await setup.from("192.0.2.1", server.httpPort, requestText({ host: "x" }))), "reset");
  assert.equal(target.connections.length, 2);
  assert.equal(await server.metric('spokes_refusals_total{code="E1429"}'), 3);
  await setup.from("192.0.2.2", server.tlsPort, hello);
  await target.accept();
  first.reset();
  await eventually(async () => {
    const next = await setup.from("192.0.2.1", server.tlsPort, hello);
    return await Promise.race([target.accept().then(() => true), told(next).then(() => false)]);
  }, "room for another");
});

Deno.test("one address that only begins handshakes is full by itself; others, and its own once they are gone, are served", async () => {
  await using setup = await setUp({ visitorsPerAddress: 4, unauthenticatedPerAddress: 4 });
  const { server, names, target } = setup;
  const hello = await helloFor(names.there);
  const begun: Wire[] = [];
  for (let count = 0; count < 4; count++) {
    begun.push(await setup.from("192.0.2.1", server.tlsPort, hello.subarray(0, count * 20)));
  }
  const isFull = async (): Promise<boolean> => {
    const next = await setup.from("192.0.2.1", server.tlsPort, await helloFor("nobody.example"));
    return await told(next) === "reset";
  };
  await eventually(isFull, "the address to be full");
  await setup.from("192.0.2.2", server.tlsPort, hello);
  await target.accept();
  for (const wire of begun) wire.reset();
  await eventually(async () => !await isFull(), "room again");
});

Deno.test("visitors that fill the server up leave room for tunnels, and tunnels for visitors", async () => {
  await using setup = await setUp({ visitors: 2, unauthenticated: 40 });
  const { server, names, tunnel } = setup;
  await using first = await connectTls(server.tlsPort, { servername: names.here });
  await using second = await connectTls(server.tlsPort, { servername: names.here });
  for (const wire of [first, second]) assert.equal((await request(0, { host: names.here, wire })).text, "here");
  await assert.rejects(connectTls(server.tlsPort, { servername: names.here }));
  await using other = await startTunnel(server);
  assert.notEqual(other.hostname, tunnel.hostname);
  first.reset();
  await eventually(
    () =>
      connectTls(server.tlsPort, { servername: names.here }).then(
        (wire) => wire[Symbol.asyncDispose]().then(() => true),
        () => false,
      ),
    "room for a visitor",
  );
  assert.equal((await request(0, { host: names.here, wire: second })).text, "here");
});

Deno.test("a flood of handshakes, most of them broken off at some byte, harms nobody else and leaves nothing behind", async () => {
  await using setup = await setUp({ visitorsPerAddress: 64 });
  const { server, names, tunnel } = setup;
  const hello = await helloFor(names.here);
  const forged = hello.map((byte, at) => at > 60 && at % 7 === 0 ? byte ^ 0xff : byte);
  const flood = Array.from({ length: 160 }, async (_, at) => {
    const address = `198.51.100.${1 + at % 4}`;
    const cut = at % 5 === 1 ? hello.length : (at * 13) % hello.length;
    const first = at % 3 === 0 ? forged : hello.subarray(0, cut);
    const wire = await setup.from(address, server.tlsPort, first);
    if (at % 2 === 0) wire.reset();
    else await wire.endWrite();
    await wire.readToEnd();
  });
  const served = Array.from({ length: 12 }, async () => {
    await using wire = await connectTls(server.tlsPort, { servername: names.here });
    return (await request(0, { host: names.here, wire })).text;
  });
  assert.deepEqual(new Set(await Promise.all(served)), new Set(["here"]));
  await Promise.all(flood);
  // Each of its addresses has all its room back.
  for (let count = 0; count < 64; count++) {
    const wire = await setup.from("198.51.100.1", server.httpPort, "GET / HT");
    if (count === 63) await eventually(async () => await server.metric("spokes_http_visitors") >= 64, "all to count");
    void wire;
  }
  const undecided = await Promise.all(
    Array.from({ length: 64 }, () => setup.from("198.51.100.2", server.tlsPort, hello.subarray(0, 40))),
  );
  await using last = await setup.from("198.51.100.3", server.tlsPort, await helloFor("nobody.example"));
  assert.equal(await told(last), UNRECOGNIZED_NAME);
  assert.ok(undecided.every(({ socket }) => !socket.destroyed));
  assert.equal(tunnel.events.filter(({ kind }) => kind === "disconnected").length, 0);
});
