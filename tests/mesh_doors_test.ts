import assert from "node:assert/strict";
import { connect, hashPassword, parseDestination } from "../mod.ts";
import {
  connectTcp,
  echoTarget,
  eventually,
  fill,
  freePort,
  httpTarget,
  programTest,
  run,
  sha256,
  spawn,
  startServer,
  startTunnel,
  tcpTarget,
  type TestServer,
  type TestTunnel,
  within,
} from "./harness.ts";
import { linkProxy } from "./harness/link_proxy.ts";
import { offer, openDoors, portMap, proxy } from "./harness/mesh.ts";

const MEBIBYTE = 1024 * 1024;

/** A door of one tunnel to an echo behind another one. */
interface EchoDoor extends AsyncDisposable {
  readonly server: TestServer;
  readonly here: TestTunnel;
  readonly port: number;
}

async function echoDoor(): Promise<EchoDoor> {
  await using stack = new AsyncDisposableStack();
  const target = stack.use(await echoTarget());
  const server = stack.use(await startServer());
  await offer(stack.use(await startTunnel(server)), { echo: target.address });
  const here = stack.use(await startTunnel(server));
  const [port = 0] = await openDoors(here, portMap("echo:7"));
  const all = stack.move();
  return { server, here, port, [Symbol.asyncDispose]: () => all.disposeAsync() };
}

Deno.test("a port map leads to the TCP rule of another tunnel, by its service and by its port, with half-close", async () => {
  await using target = await tcpTarget(async (wire) => {
    const { text } = await wire.readToEnd();
    await wire.send(`got ${text}`);
  });
  await using server = await startServer();
  await using there = await startTunnel(server);
  await using here = await startTunnel(server);
  const [port] = await offer(there, { upper: target.address });
  for (const door of await openDoors(here, portMap("upper:1"), portMap(`anything:${port}`))) {
    await using program = await connectTcp(door);
    await program.send("hello");
    await program.endWrite();
    assert.deepEqual((await program.readToEnd()).text, "got hello");
  }
  const [told] = here.events.flatMap((event) => event.kind === "doors" ? [event.states] : []);
  assert.deepEqual(told?.map(({ id, state }) => [id, state]), [
    ["map/127.0.0.1:0", "open"],
    ["map/127.0.0.1:0", "open"],
  ]);
});

Deno.test("50 MB go through a port map and back, unchanged", async () => {
  await using target = await echoTarget();
  await using server = await startServer();
  await using there = await startTunnel(server);
  await using here = await startTunnel(server);
  await offer(there, { echo: target.address });
  const [door] = await openDoors(here, portMap("echo:7"));
  await using program = await connectTcp(door!);
  const bytes = fill(50 * MEBIBYTE);
  const [{ bytes: seen, end }] = await within(
    Promise.all([program.readToEnd(), program.send(bytes).then(() => program.endWrite())]),
    "50 MB",
    60_000,
  );
  assert.deepEqual([end, seen.length, await sha256(seen)], ["end", bytes.length, await sha256(bytes)]);
});

Deno.test("a reset is passed on through a port map, both ways", async () => {
  await using target = await tcpTarget();
  await using server = await startServer();
  await using there = await startTunnel(server);
  await using here = await startTunnel(server);
  await offer(there, { db: target.address });
  const [door] = await openDoors(here, portMap("db:5432"));
  await using first = await connectTcp(door!);
  const cut = await target.accept();
  await first.send("x");
  await cut.readExactly(1);
  cut.reset();
  assert.equal((await first.readToEnd()).end, "reset");
  await using second = await connectTcp(door!);
  const left = await target.accept();
  await second.send("x");
  await left.readExactly(1);
  second.reset();
  assert.equal((await left.readToEnd()).end, "reset");
});

Deno.test("what the policy denies is told by every kind of door in its way, and to the person", async () => {
  await using target = await echoTarget();
  await using server = await startServer();
  await using there = await startTunnel(server, [], { invite: await server.invite({ owner: "alice" }) });
  await using here = await startTunnel(server, [], { invite: await server.invite({ owner: "bob" }) });
  await offer(there, { echo: target.address });
  const [map, socks, http] = await openDoors(here, portMap("echo:7"), proxy("socks"), proxy("http"));
  await using program = await connectTcp(map!);
  assert.deepEqual((await program.readToEnd()).end, "reset");
  await using viaSocks = await connectTcp(socks!);
  await viaSocks.send("\x05\x01\0\x05\x01\0\x03\x04echo\0\x07");
  assert.equal((await viaSocks.readToEnd()).text, "\x05\0\x05\x02\0\x01\0\0\0\0\0\0");
  await using viaHttp = await connectTcp(http!);
  await viaHttp.send("CONNECT echo:7 HTTP/1.1\r\nHost: echo:7\r\n\r\n");
  assert.match((await viaHttp.readToEnd()).text, /^HTTP\/1\.1 403 Forbidden\r\n[^]*\r\n\r\nE4020 /);
  const notices = here.events.filter((event) => event.kind === "notice");
  assert.match(notices[0]!.message, /^port map 127\.0\.0\.1:0 to echo:7: The access policy does not let you/);
  await assert.rejects(here.tunnel.connect(parseDestination("echo:7")), { kind: "DESTINATION_DENIED" });
  await assert.rejects(here.tunnel.connect(parseDestination("nothing:7")), { kind: "DESTINATION_UNKNOWN" });
  assert.equal(target.connections.length, 0);
});

Deno.test("a server without a mesh refuses every destination with a code, and goes on", async () => {
  await using server = await startServer({ mesh: false });
  await using here = await startTunnel(server);
  for (let count = 0; count < 2; count++) {
    await assert.rejects(here.tunnel.connect(parseDestination("echo:7")), { kind: "MESH_DISABLED" });
  }
  assert.equal(await server.metric("spokes_sessions"), 1);
});

Deno.test("a session that only uses the tunnel opens streams beside the one that serves", async () => {
  await using target = await echoTarget();
  await using server = await startServer();
  await using there = await startTunnel(server);
  await offer(there, { echo: target.address });
  const { address, identity } = there;
  await using user = await connect({ ...address, token: identity.token, role: "use" });
  const stream = await user.connect(parseDestination("echo:7"));
  await stream.write(new TextEncoder().encode("hello"));
  await stream.closeWrite();
  const seen = await stream.read();
  assert.equal(new TextDecoder().decode(seen ?? undefined), "hello");
  assert.equal(await stream.read(), null);
});

Deno.test("doors say at once that the server is away, and work again when it is back", async () => {
  await using target = await echoTarget();
  await using server = await startServer();
  await using link = await linkProxy(server.tlsPort);
  await using there = await startTunnel(server);
  await offer(there, { echo: target.address });
  await using here = await startTunnel(server, [], { server: link.address });
  const [socks, map] = await openDoors(here, proxy("socks"), portMap("echo:7"));
  link.accept = "ignore";
  for (const each of link.links) each.cut();
  await eventually(() => here.events.some(({ kind }) => kind === "disconnected") || undefined, "the loss");
  await using program = await connectTcp(map!);
  assert.equal((await program.readToEnd()).end, "reset");
  await using viaSocks = await connectTcp(socks!);
  await viaSocks.send("\x05\x01\0\x05\x01\0\x03\x04echo\0\x07");
  assert.equal((await viaSocks.readToEnd()).text, "\x05\0\x05\x03\0\x01\0\0\0\0\0\0", "network unreachable");
  link.accept = "join";
  for (const each of link.links) each.cut();
  await eventually(async () => {
    await using again = await connectTcp(map!);
    await again.send("x").catch(() => {/* it was reset */});
    return (await again.read().catch(() => null)) === null ? undefined : true;
  }, "the doors to lead somewhere again");
});

Deno.test("connections through a door outlive the loss of the control channel", async () => {
  await using target = await echoTarget();
  await using server = await startServer();
  await using link = await linkProxy(server.tlsPort);
  await using there = await startTunnel(server);
  await offer(there, { echo: target.address });
  await using here = await startTunnel(server, [], { server: link.address });
  const [map] = await openDoors(here, portMap("echo:7"));
  await using program = await connectTcp(map!);
  await program.send("before");
  await program.readExactly(6);
  link.links[0]!.cut();
  await eventually(() => here.events.filter(({ kind }) => kind === "connected").length === 2 || undefined, "a resume");
  await program.send("after");
  assert.equal(new TextDecoder().decode(await program.readExactly(5)), "after");
});

Deno.test("a server that drains refuses new streams, and lets those under way end", async () => {
  await using door = await echoDoor();
  await using program = await connectTcp(door.port);
  await program.send("before");
  await program.readExactly(6);
  const stopped = door.server.server.stop({ graceMs: 30_000 });
  await eventually(() => door.here.events.some(({ kind }) => kind === "draining") || undefined, "the drain");
  await assert.rejects(door.here.tunnel.connect(parseDestination("echo:7")), { kind: "SERVER_DRAINING" });
  await program.send("after");
  await program.endWrite();
  assert.equal((await program.readToEnd()).text, "after");
  await within(stopped, "the server to stop");
});

Deno.test("a client that stops with grace lets connections through its doors end, and lets nobody in", async () => {
  await using door = await echoDoor();
  await using program = await connectTcp(door.port);
  await program.send("before");
  await program.readExactly(6);
  const stopped = door.here.tunnel.stop({ graceMs: 30_000 });
  await assert.rejects(connectTcp(door.port));
  await program.send("after");
  await program.endWrite();
  assert.equal((await program.readToEnd()).text, "after");
  await within(stopped, "the client to stop");
});

Deno.test("hundreds of connections at once go through one door", async () => {
  await using door = await echoDoor();
  const programs = await Promise.all(Array.from({ length: 200 }, () => connectTcp(door.port)));
  await Promise.all(programs.map(async (program, index) => {
    await program.send(`${index}`);
    await program.endWrite();
    assert.equal((await program.readToEnd()).text, `${index}`);
    await program[Symbol.asyncDispose]();
  }));
});

programTest(
  "curl goes through a SOCKS5 door and an HTTP door, with names, addresses and passwords",
  ["curl"],
  async () => {
    await using site = await httpTarget(() => new Response("hello"));
    await using server = await startServer();
    await using there = await startTunnel(server);
    await offer(there, { site: site.address });
    await using here = await startTunnel(server);
    const auth = { user: "bob", passwordHash: await hashPassword("secret") };
    const [socks, http, closed] = await openDoors(
      here,
      proxy("socks"),
      proxy("http"),
      { ...proxy("socks"), listen: { hostname: "127.0.0.1", port: await freePort() }, auth },
    );
    const curl = (...args: string[]): Promise<{ code: number; stdout: string }> =>
      run("curl", ["-sS", "--max-time", "20", ...args]);
    for (
      const args of [
        ["--socks5-hostname", `127.0.0.1:${socks}`, "http://site:8080/"],
        ["--proxytunnel", "--proxy", `http://127.0.0.1:${http}`, "http://site:8080/"],
        ["--socks5-hostname", `127.0.0.1:${closed}`, "--proxy-user", "bob:secret", "http://site:8080/"],
      ]
    ) {
      const { code, stdout } = await curl(...args);
      assert.deepEqual([code, stdout], [0, "hello"], args.join(" "));
    }
    const refused = ["--socks5-hostname", `127.0.0.1:${closed}`, "--proxy-user", "bob:guess", "http://site:8080/"];
    assert.equal((await curl(...refused)).code, 97, "a failed SOCKS handshake");
    // An address in place of a name, IPv4 and IPv6: taken as it is, and refused, since the server allows none.
    assert.equal((await curl("--socks5", `127.0.0.1:${socks}`, "http://192.0.2.1:8080/")).code, 97);
    assert.equal((await curl("--socks5", `127.0.0.1:${socks}`, "http://[2001:db8::1]:8080/")).code, 97);
  },
);

programTest(
  "redis-cli uses a redis behind another tunnel as if it were local",
  ["redis-cli", "redis-server"],
  async () => {
    const port = await freePort();
    await using redis = spawn("redis-server", ["--port", `${port}`, "--save", "", "--bind", "127.0.0.1"]);
    await redis.printed(/Ready to accept connections/);
    await using server = await startServer();
    await using there = await startTunnel(server);
    await offer(there, { redis: `127.0.0.1:${port}` });
    await using here = await startTunnel(server);
    const [map] = await openDoors(here, portMap("redis:6379"));
    const cli = (...args: string[]): Promise<{ code: number; stdout: string }> =>
      run("redis-cli", ["-p", `${map}`, ...args]);
    assert.equal((await cli("SET", "greeting", "hello")).stdout, "OK\n");
    assert.equal((await cli("GET", "greeting")).stdout, "hello\n");
  },
);
