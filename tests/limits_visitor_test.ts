import assert from "node:assert/strict";
import { Router } from "../server/router.ts";
import { ConnectionCounter } from "../server/connection_counter.ts";
import { Challenges } from "../net/acme/challenges.ts";
import { HttpEdge } from "../server/edge/http_edge.ts";
import { identifier } from "../server/edge/identify.ts";
import { DEFAULT_SERVER_LIMITS } from "../server/limits.ts";
import { Metrics } from "../server/metrics.ts";
import { SILENT } from "../net/log.ts";
import {
  connectTcp,
  eventually,
  httpTarget,
  readResponse,
  request,
  requestText,
  type ServerSetup,
  startServer,
  startTunnel,
  tcpTarget,
  type TestServer,
} from "./harness.ts";

/** A server whose every time is an hour but those given: whatever ends then was ended by them. */
function serverWith(limits: ServerSetup["limits"] = {}): Promise<TestServer> {
  const hour = 3_600_000;
  return startServer({
    limits: {
      ...{ tlsHandshakeMs: hour, firstByteMs: hour, headMs: hour, stallMs: hour, keepAliveMs: hour, lingerMs: hour },
      ...limits,
    },
  });
}

/** Whether a connection is reset without a byte; that may happen before it is known to be open. */
async function isReset(port: number): Promise<boolean> {
  try {
    await using wire = await connectTcp(port);
    const { text, end } = await wire.readToEnd();
    return text === "" && end === "reset";
  } catch (error) {
    return (error as { code?: string }).code === "ECONNRESET";
  }
}

Deno.test("a visitor that says nothing is let go after the time for a first byte", async () => {
  await using server = await serverWith({ firstByteMs: 100 });
  await using silent = await connectTcp(server.httpPort);
  assert.deepEqual((await silent.readToEnd()).text, "");
  await silent.endWrite();
});

Deno.test("a head that drips in byte by byte gets 408 and a close, however often it moves", async () => {
  await using server = await serverWith({ headMs: 300 });
  await using slow = await connectTcp(server.httpPort);
  await slow.send("GET / HTTP/1.1\r\nHost: a.tunnels.localhost\r\nX: ");
  const dripping = setInterval(() => slow.send("x").catch(() => clearInterval(dripping)), 20);
  try {
    const response = await readResponse(slow);
    assert.equal(`${response.status} ${response.get("connection")}`, "408 close");
    assert.match(response.text, /E1408/);
  } finally {
    clearInterval(dripping);
  }
});

Deno.test("the time for a head is not the time between two: an idle visitor is let go by its own", async () => {
  await using server = await serverWith({ keepAliveMs: 100 });
  await using tunnel = await startTunnel(server);
  await using visitor = await connectTcp(server.httpPort);
  await visitor.send(requestText({ host: tunnel.hostname }));
  assert.equal((await readResponse(visitor)).status, 200);
  assert.deepEqual((await visitor.readToEnd()).text, "");
  await visitor.endWrite();
});

Deno.test("a request body that stalls gets 408, and its target a reset", async () => {
  await using target = await tcpTarget();
  await using server = await serverWith({ stallMs: 200 });
  await using tunnel = await startTunnel(server, [{ kind: "http", target: target.address }]);
  await using visitor = await connectTcp(server.httpPort);
  await visitor.send(`POST / HTTP/1.1\r\nHost: ${tunnel.hostname}\r\nContent-Length: 10\r\n\r\nhalf`);
  const response = await readResponse(visitor);
  assert.equal(response.status, 408);
  const origin = await target.accept();
  const { text, end } = await origin.readToEnd();
  assert.ok(text.endsWith("half"));
  assert.equal(end, "reset");
});

Deno.test("a target that takes a request and stays silent gets its visitor a 504", async () => {
  await using target = await tcpTarget();
  await using server = await serverWith({ stallMs: 200 });
  await using tunnel = await startTunnel(server, [{ kind: "http", target: target.address }]);
  await using visitor = await connectTcp(server.httpPort);
  await visitor.send(requestText({ host: tunnel.hostname }));
  const response = await readResponse(visitor);
  assert.equal(response.status, 504);
  assert.match(response.text, /E2002/);
});

Deno.test("a response that stalls half-way is a reset, never a short success", async () => {
  await using target = await tcpTarget();
  await using server = await serverWith({ stallMs: 200 });
  await using tunnel = await startTunnel(server, [{ kind: "http", target: target.address }]);
  await using visitor = await connectTcp(server.httpPort);
  await visitor.send(requestText({ host: tunnel.hostname }));
  const origin = await target.accept();
  await origin.send("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhalf");
  const { text, end } = await visitor.readToEnd();
  assert.ok(text.includes("half") && !text.includes("\r\n0\r\n"));
  assert.equal(end, "reset");
});

Deno.test("a visitor that does not read its response is reset, and its target let go", async () => {
  await using target = await tcpTarget(async (wire) => {
    await wire.readUntil("\r\n\r\n");
    await wire.send("HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n");
    const piece = new Uint8Array(65_536);
    try {
      for (;;) await wire.send(piece);
    } catch {
      // That it ends is the point.
    }
  });
  await using server = await serverWith({ stallMs: 300 });
  await using tunnel = await startTunnel(server, [{ kind: "http", target: target.address }]);
  await using visitor = await connectTcp(server.httpPort);
  visitor.socket.pause();
  await visitor.send(requestText({ host: tunnel.hostname }));
  await eventually(() => target.connections.length === 1 && target.open === 0, "the target to be let go");
  await eventually(async () => await server.metric("spokes_streams") === 0, "the stream to be gone");
});

Deno.test("an upgraded connection has no idle limit, but after one end the other has", async () => {
  await using target = await tcpTarget();
  await using server = await serverWith({ stallMs: 100, keepAliveMs: 100, lingerMs: 300 });
  await using tunnel = await startTunnel(server, [{ kind: "http", target: target.address }]);
  await using visitor = await connectTcp(server.httpPort);
  await visitor.send(
    `GET / HTTP/1.1\r\nHost: ${tunnel.hostname}\r\nConnection: Upgrade\r\nUpgrade: something\r\n\r\n`,
  );
  const origin = await target.accept();
  await origin.readUntil("\r\n\r\n");
  await origin.send("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: something\r\n\r\n");
  await visitor.readUntil("\r\n\r\n");
  // Longer than what would have ended an exchange: another visitor is let go by the same times meanwhile.
  await using other = await connectTcp(server.httpPort);
  await other.send(`POST / HTTP/1.1\r\nHost: ${tunnel.hostname}\r\nContent-Length: 10\r\n\r\n`);
  assert.equal((await readResponse(other)).status, 408);
  await origin.send("still here");
  await visitor.readUntil("here");
  await visitor.endWrite();
  assert.equal((await origin.readToEnd()).end, "end");
  assert.equal((await visitor.readToEnd()).end, "reset");
});

Deno.test("after a half-close a TCP stream ends when the other direction is silent too long", async () => {
  await using target = await tcpTarget();
  await using server = await serverWith({ lingerMs: 200 });
  await using tunnel = await startTunnel(server);
  await using visitor = await connectTcp(await tunnel.tcp(target.address));
  await visitor.send("last");
  await visitor.endWrite();
  const origin = await target.accept();
  await origin.readUntil("last");
  assert.equal((await visitor.readToEnd()).end, "reset");
});

Deno.test("visitors in all: one too many is reset at once, on HTTP and TCP ports, and room is made by those who leave", async () => {
  await using target = await tcpTarget();
  await using server = await serverWith({ visitors: 2 });
  await using tunnel = await startTunnel(server);
  const port = await tunnel.tcp(target.address);
  const first = await connectTcp(server.httpPort);
  await using second = await connectTcp(port);
  await second.send("x");
  await (await target.accept()).readExactly(1);
  for (const full of [server.httpPort, port]) {
    assert.ok(await isReset(full));
  }
  assert.equal(target.connections.length, 1, "nothing of it reached the tunnel");
  assert.equal(await server.metric('spokes_refusals_total{code="E1429"}'), 2);
  await first[Symbol.asyncDispose]();
  await eventually(async () => {
    try {
      return (await request(server.httpPort, { host: "nobody.tunnels.localhost" })).status === 404;
    } catch {
      return false; // Reset as well: the first has not left yet.
    }
  }, "room for a visitor");
});

Deno.test("loopback is exempt from the limit of one address", async () => {
  await using server = await serverWith({ visitorsPerAddress: 1, unauthenticatedPerAddress: 1 });
  await using _first = await connectTcp(server.httpPort);
  await using second = await connectTcp(server.httpPort);
  await second.send(requestText({ host: "nobody.tunnels.localhost" }));
  assert.equal((await readResponse(second)).status, 404);
});

Deno.test("visitors of one address: one too many is reset, others are not", async () => {
  const metrics = new Metrics();
  const edge = new HttpEdge({
    ...{ router: new Router(() => false), limits: DEFAULT_SERVER_LIMITS, metrics, log: SILENT },
    visitors: new ConnectionCounter({ perAddress: 2, total: 100 }),
    ...{
      identify: identifier([]),
      challenges: new Challenges(),
      manages: () => false,
      isReady: () => true,
      tlsPort: () => 443,
      trustedProxies: () => false,
    },
  });
  await using bound = await edge.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = bound.address;
  await using first = await connectTcp(port);
  await using _second = await connectTcp(port);
  assert.ok(await isReset(port));
  await using other = await connectTcp(port, { from: "127.0.0.2" });
  await other.send(requestText({ host: "nobody.example" }));
  assert.equal((await readResponse(other)).status, 404);
  await first[Symbol.asyncDispose]();
  await eventually(() => edge.visits.count === 2, "the first to have left");
  await using next = await connectTcp(port);
  await next.send(requestText({ host: "nobody.example" }));
  assert.equal((await readResponse(next)).status, 404);
  await edge.visits.cut();
});

Deno.test("oversized heads get 431 and 414, and never reach a target", async () => {
  await using target = await httpTarget(() => new Response("ok"));
  await using server = await serverWith();
  await using tunnel = await startTunnel(server, [{ kind: "http", target: target.address }]);
  const head = `GET / HTTP/1.1\r\nHost: ${tunnel.hostname}\r\n`;
  const cases: [number, string][] = [
    [414, `GET /${"a".repeat(9_000)} HTTP/1.1\r\nHost: ${tunnel.hostname}\r\n\r\n`],
    [431, `${head}X: ${"a".repeat(33_000)}\r\n\r\n`],
    [431, `${head}${Array.from({ length: 101 }, (_, at) => `X-${at}: 1\r\n`).join("")}\r\n`],
    // Endless ones are refused before their end.
    [414, `GET /${"a".repeat(9_000)}`],
    [431, `${head}X: ${"a".repeat(40_000)}`],
  ];
  for (const [status, text] of cases) {
    await using visitor = await connectTcp(server.httpPort);
    await visitor.send(text);
    const response = await readResponse(visitor);
    assert.equal(`${response.status} ${response.get("connection")}`, `${status} close`, text.slice(0, 30));
  }
});
