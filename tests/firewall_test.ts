import assert from "node:assert/strict";
import type { FirewallRule } from "../mod.ts";
import { StreamResetError } from "../protocol/errors.ts";
import {
  connectTcp,
  echoTarget,
  eventually,
  type HttpTarget,
  httpTarget,
  readRequest,
  readResponse,
  request,
  requestText,
  startServer,
  startTunnel,
  type TcpTarget,
  tcpTarget,
  type TestServer,
  type TestTunnel,
} from "./harness.ts";

/** One web and one TCP service, published on IPv4 and IPv6 loopback. */
interface Services extends AsyncDisposable {
  readonly server: TestServer;
  readonly tunnel: TestTunnel;
  readonly web: HttpTarget;
  readonly echo: TcpTarget;
  readonly port: number;
}

/** Dual-stack: IPv4 visitors come as v4-mapped addresses, which must not matter. */
async function publishBoth(bind: string = "::"): Promise<Services> {
  await using stack = new AsyncDisposableStack();
  const web = stack.use(await httpTarget(() => new Response("in")));
  const echo = stack.use(await echoTarget());
  const server = stack.use(await startServer({ http: { hostname: bind, port: 0 }, tcp: { bind } }));
  const tunnel = stack.use(await startTunnel(server));
  await tunnel.http(web.address);
  const port = await tunnel.tcp(echo.address);
  const all = stack.move();
  return { server, tunnel, web, echo, port, [Symbol.asyncDispose]: () => all.disposeAsync() };
}

const VISITORS = ["127.0.0.1", "127.0.0.2", "127.1.0.1", "::1"] as const;

/** Who gets in over HTTP, and who over TCP. */
async function admitted({ server, tunnel, port, echo }: Services): Promise<{ http: string[]; tcp: string[] }> {
  const http: string[] = [];
  const tcp: string[] = [];
  for (const from of VISITORS) {
    const to = from === "::1" ? "::1" : "127.0.0.1";
    const { status } = await request(server.httpPort, { host: tunnel.hostname, from, to });
    assert.ok(status === 200 || status === 403, `${from}: ${status}`);
    if (status === 200) http.push(from);
    const before = echo.connections.length;
    if (await echoes(port, { host: to, from })) tcp.push(from);
    // Nothing of a refused visitor reaches the client's side, not even its connection.
    else assert.equal(echo.connections.length, before);
  }
  return { http, tcp };
}

/** Whether a visitor of TCP gets in: one that does not is cut before a byte of an answer, perhaps before it has said one. */
async function echoes(port: number, way: { host?: string; from?: string } = {}): Promise<boolean> {
  try {
    await using visitor = await connectTcp(port, way);
    await visitor.send("?");
    return await visitor.read() !== null;
  } catch (error) {
    if (error instanceof StreamResetError) return false;
    throw error;
  }
}

const CASES: readonly [what: string, firewall: readonly FirewallRule[], who: readonly string[]][] = [
  ["nothing", [], VISITORS],
  ["one allow", [{ action: "allow", network: "127.0.0.1" }], ["127.0.0.1"]],
  ["one drop", [{ action: "drop", network: "127.0.0.1" }], ["127.0.0.2", "127.1.0.1", "::1"]],
  ["an IPv6 allow", [{ action: "allow", network: "::1" }], ["::1"]],
  ["an IPv6 drop", [{ action: "drop", network: "::/0" }], ["127.0.0.1", "127.0.0.2", "127.1.0.1"]],
  ["a CIDR allow", [{ action: "allow", network: "127.0.0.0/16" }], ["127.0.0.1", "127.0.0.2"]],
  ["both, the narrower drop", [
    { action: "allow", network: "127.0.0.0/8" },
    { action: "drop", network: "127.0.0.2" },
  ], ["127.0.0.1", "127.1.0.1"]],
  ["both, the narrower allow", [
    { action: "drop", network: "127.0.0.0/8" },
    { action: "allow", network: "127.0.0.2/32" },
  ], ["127.0.0.2"]],
  ["both on the same network", [
    { action: "allow", network: "127.0.0.1" },
    { action: "drop", network: "127.0.0.1" },
  ], []],
];

Deno.test("the firewall lets in who may come, over HTTP and TCP, IPv4 and IPv6", async () => {
  await using services = await publishBoth();
  const { tunnel, web, echo, port } = services;
  for (const [what, firewall, who] of CASES) {
    await tunnel.http(web.address, { firewall });
    await tunnel.tcp(echo.address, { port, firewall });
    assert.deepEqual(await admitted(services), { http: [...who], tcp: [...who] }, what);
  }
});

Deno.test("a refused visitor learns it from a page with the code, and may ask for another host", async () => {
  await using services = await publishBoth("127.0.0.1");
  const { server, tunnel, web } = services;
  await tunnel.http(web.address, { firewall: [{ action: "drop", network: "127.0.0.1" }] });
  await tunnel.http(web.address, { domain: `open.${server.domain}` });
  await using wire = await connectTcp(server.httpPort);
  const refused = await request(0, { host: tunnel.hostname, wire });
  assert.equal(refused.status, 403);
  assert.match(refused.text, /E1403/);
  assert.equal((await request(0, { host: `open.${server.domain}`, wire })).text, "in");
  assert.equal(await server.metric('spokes_refusals_total{code="E1403"}'), 1);
});

Deno.test("an edit counts for the next request on a kept connection, and for the next TCP connection", async () => {
  await using services = await publishBoth("127.0.0.1");
  const { server, tunnel, web, echo, port } = services;
  await using wire = await connectTcp(server.httpPort);
  assert.equal((await request(0, { host: tunnel.hostname, wire })).status, 200);
  const drop = [{ action: "drop", network: "127.0.0.0/8" }] as const;
  await tunnel.http(web.address, { firewall: drop });
  assert.equal((await request(0, { host: tunnel.hostname, wire })).status, 403);
  await tunnel.http(web.address);
  assert.equal((await request(0, { host: tunnel.hostname, wire })).status, 200);
  await tunnel.tcp(echo.address, { port, firewall: drop });
  assert.equal(await echoes(port), false);
  await tunnel.tcp(echo.address, { port });
  assert.equal(await echoes(port), true);
});

Deno.test("an edit resets the running streams that it drops, and leaves the others alone", async () => {
  await using target = await tcpTarget();
  await using services = await publishBoth("127.0.0.1");
  const { server, tunnel, echo, port } = services;
  const host = await tunnel.http(target.address);
  await using dropped = await connectTcp(port, { from: "127.0.0.2" });
  await using kept = await connectTcp(port);
  await using upload = await connectTcp(server.httpPort, { from: "127.0.0.2" });
  await using download = await connectTcp(server.httpPort);
  for (const visitor of [dropped, kept]) {
    await visitor.send("a");
    await visitor.readExactly(1);
  }
  await upload.send(`POST / HTTP/1.1\r\nHost: ${host}\r\nContent-Length: 100\r\n\r\nsome`);
  const receiving = await target.accept();
  await receiving.readUntil("some");
  await download.send(requestText({ host }));
  const sending = await target.accept();
  await readRequest(sending);
  await sending.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n12345");
  await download.readUntil("12345");

  const firewall = [{ action: "drop", network: "127.0.0.2" }] as const;
  await tunnel.tcp(echo.address, { port, firewall });
  await tunnel.http(target.address, { firewall });
  assert.equal((await dropped.readToEnd()).end, "reset");
  assert.equal((await receiving.readToEnd()).end, "reset");
  const { text } = await upload.readToEnd();
  assert.ok(text === "" || /^HTTP\/1\.1 403 /.test(text), text);
  await kept.send("b");
  assert.equal(await kept.readUntil("b"), "b");
  await sending.send("67890");
  assert.equal(await download.readUntil("67890"), "67890");
});

Deno.test("a malformed network makes its rule inactive, and lets nobody in", async () => {
  await using services = await publishBoth("127.0.0.1");
  const { server, tunnel, web, echo, port } = services;
  const hostname = tunnel.hostname;
  for (const network of ["10.0.0.0/33", "010.0.0.1", "1.2.3", "example.com", "::1/129", "%"]) {
    const states = await tunnel.tunnel.setRules([
      { kind: "http", target: web.address, firewall: [{ action: "drop", network }] },
      { kind: "tcp", port, target: echo.address },
    ]);
    const [http, tcp] = states;
    assert.deepEqual([http?.state, http?.code, tcp?.state], ["inactive", "E4013", "active"], network);
    assert.notEqual((await request(server.httpPort, { host: hostname })).status, 200, network);
  }
  await tunnel.publish([{ kind: "http", target: web.address }]);
  assert.equal((await request(server.httpPort, { host: hostname })).status, 200);
});

Deno.test("behind a trusted proxy the firewall sees the visitor, and believes nobody else", async () => {
  await using web = await httpTarget((asked) => new Response(asked.headers.get("x-forwarded-for")));
  for (const trusted of [true, false]) {
    await using server = await startServer(trusted ? { trustedProxies: ["127.0.0.1/32"] } : {});
    await using tunnel = await startTunnel(server, [{
      kind: "http",
      target: web.address,
      firewall: [{ action: "drop", network: "203.0.113.0/24" }],
    }]);
    const ask = (from: string) =>
      request(server.httpPort, { host: tunnel.hostname, fields: { "X-Forwarded-For": from } });
    assert.equal((await ask("203.0.113.7")).status, trusted ? 403 : 200);
    assert.equal((await ask("198.51.100.1, 203.0.113.7")).status, trusted ? 403 : 200);
    assert.equal((await ask("203.0.113.7, 198.51.100.1")).text, trusted ? "198.51.100.1" : "127.0.0.1");
  }
});

Deno.test("an upgraded stream is reset as well when its visitor is dropped", async () => {
  await using target = await tcpTarget();
  await using services = await publishBoth("127.0.0.1");
  const { server, tunnel } = services;
  const host = await tunnel.http(target.address);
  await using visitor = await connectTcp(server.httpPort);
  await visitor.send(`GET / HTTP/1.1\r\nHost: ${host}\r\nConnection: Upgrade\r\nUpgrade: test\r\n\r\n`);
  const inside = await target.accept();
  await inside.readUntil("\r\n\r\n");
  await inside.send("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: test\r\n\r\n");
  assert.equal((await readResponse(visitor)).status, 101);
  await visitor.send("ping");
  await inside.readUntil("ping");
  await tunnel.http(target.address, { firewall: [{ action: "drop", network: "127.0.0.1" }] });
  assert.equal((await visitor.readToEnd()).end, "reset");
  assert.equal((await inside.readToEnd()).end, "reset");
  await eventually(() => target.open === 0, "the target's connection to end");
});
