import assert from "node:assert/strict";
import { enrol, parseInvite } from "../mod.ts";
import {
  connectTcp,
  echoTarget,
  eventually,
  httpTarget,
  readResponse,
  request,
  requestText,
  startServer,
  startTunnel,
  within,
} from "./harness.ts";
import { linkProxy } from "./harness/link_proxy.ts";
import { dialEndpoint } from "./harness/raw_client.ts";

const FOR_EVER_MS = 3_600_000;

async function isRefused(port: number): Promise<boolean> {
  try {
    await using _wire = await connectTcp(port);
    return false;
  } catch {
    return true;
  }
}

Deno.test("a server that stops lets a running request end, and takes nothing new meanwhile", async () => {
  const asked = Promise.withResolvers<void>();
  const answer = Promise.withResolvers<void>();
  await using target = await httpTarget(async () => {
    asked.resolve();
    await answer.promise;
    return new Response("late");
  });
  await using server = await startServer();
  await using tunnel = await startTunnel(server, [{ kind: "http", target: target.address }]);
  const invite = parseInvite(await server.invite());
  await using idle = await connectTcp(server.httpPort);
  await using visitor = await connectTcp(server.httpPort);
  await visitor.send(requestText({ host: tunnel.hostname }));
  await asked.promise;
  const stopped = server.server.stop({ graceMs: FOR_EVER_MS });
  assert.equal((await idle.readToEnd()).text, "", "an idle connection ends");
  await idle.endWrite();
  await eventually(() => tunnel.events.some(({ kind }) => kind === "draining"), "the client to be told");
  assert.ok(await isRefused(server.httpPort));
  assert.equal(await enrol(invite, invite.token).catch(({ kind }) => kind), "SERVER_DRAINING");
  const ready = await fetch(`http://127.0.0.1:${server.adminPort}/readyz`);
  assert.equal(`${ready.status} ${await ready.text()}`, "503 draining\n");
  answer.resolve();
  const response = await readResponse(visitor);
  assert.equal(`${response.status} ${response.text} ${response.get("connection")}`, "200 late close");
  await visitor.endWrite();
  await within(stopped, "the server to stop once it is idle");
});

Deno.test("a request that waits for a channel when its server stops still gets one", async () => {
  await using server = await startServer();
  await using proxy = await linkProxy(server.tlsPort);
  proxy.accept = "join";
  await using tunnel = await startTunnel(server, [{ kind: "http", target: () => new Response("ok") }], {
    server: proxy.address,
  });
  await eventually(async () => await server.metric("spokes_data_channels_idle") >= 4, "a full pool");
  // The session has lost all its channels, and cannot have others yet.
  proxy.accept = "reset";
  for (const link of proxy.links.slice(1)) link.cut();
  await eventually(async () => await server.metric("spokes_data_channels") === 0, "an empty pool");
  await using visitor = await connectTcp(server.httpPort);
  await visitor.send(requestText({ host: tunnel.hostname }));
  await eventually(async () => await server.metric("spokes_streams_waiting") === 1, "a stream that waits");
  const stopped = server.server.stop({ graceMs: FOR_EVER_MS });
  proxy.accept = "join";
  assert.equal((await readResponse(visitor)).text, "ok");
  await visitor.endWrite();
  await within(stopped, "the server to stop");
});

Deno.test("a server without visitors stops at once, whatever its tunnels keep open", async () => {
  await using target = await httpTarget(() => new Response("ok"));
  await using server = await startServer();
  await using tunnel = await startTunnel(server, [{ kind: "http", target: target.address }]);
  await request(server.httpPort, { host: tunnel.hostname });
  await within(server.server.stop({ graceMs: FOR_EVER_MS }), "the server to stop");
  await within(server.server.closed, "the server to be closed");
});

Deno.test("a second stop cuts what the first let run", async () => {
  await using target = await echoTarget();
  await using server = await startServer();
  await using tunnel = await startTunnel(server);
  await using visitor = await connectTcp(await tunnel.tcp(target.address));
  await visitor.send("x");
  await visitor.readExactly(1);
  const stopped = server.server.stop({ graceMs: FOR_EVER_MS });
  await visitor.send("y");
  assert.equal(new TextDecoder().decode(await visitor.readExactly(1)), "y", "it still runs");
  await server.server.stop({ graceMs: 0 });
  assert.equal((await visitor.readToEnd()).end, "reset");
  await stopped;
});

Deno.test("what still runs at the end of the grace time is reset", async () => {
  await using target = await echoTarget();
  await using server = await startServer();
  await using tunnel = await startTunnel(server);
  await using visitor = await connectTcp(await tunnel.tcp(target.address));
  await visitor.send("x");
  await visitor.readExactly(1);
  await within(server.server.stop({ graceMs: 300 }), "the server to stop");
  assert.equal((await visitor.readToEnd()).end, "reset");
});

Deno.test("connections that say nothing do not hold a stop up", async () => {
  await using server = await startServer({
    limits: { tlsHandshakeMs: FOR_EVER_MS, headMs: FOR_EVER_MS, firstByteMs: FOR_EVER_MS },
  });
  const { ca } = await startTunnel(server).then(async ({ address, tunnel }) => {
    await tunnel.stop();
    return address;
  });
  await using silent = await connectTcp(server.tlsPort);
  await using visitor = await connectTcp(server.httpPort);
  await visitor.send("GET / HT");
  const idle = await dialEndpoint(server.tlsPort, { ca });
  await idle.write(new TextEncoder().encode("GET / HTTP/1.1\r\nHost: x\r\n\r\n"));
  assert.ok(await idle.read() !== null);
  const asked = Promise.resolve(idle.read()).catch(() => null);
  await within(server.server.stop({ graceMs: 0 }), "the server to stop");
  assert.equal((await silent.readToEnd()).end, "reset");
  assert.equal((await visitor.readToEnd()).end, "reset");
  assert.equal(await asked, null);
  idle.close();
});

Deno.test("a client that stops lets its running stream end; visitors who come meanwhile are told that it is away", async () => {
  await using target = await echoTarget();
  await using server = await startServer();
  await using tunnel = await startTunnel(server);
  await tunnel.http(() => new Response("ok"));
  const port = await tunnel.tcp(target.address);
  await using visitor = await connectTcp(port);
  await visitor.send("x");
  await visitor.readExactly(1);
  const stopped = tunnel.tunnel.stop({ graceMs: FOR_EVER_MS });
  const response = await eventually(async () => {
    const answer = await request(server.httpPort, { host: tunnel.hostname });
    return answer.status === 503 && answer;
  }, "visitors to be turned away");
  assert.match(response.text, /E1503/);
  await visitor.send("y");
  assert.equal(new TextDecoder().decode(await visitor.readExactly(1)), "y");
  await visitor.endWrite();
  assert.equal((await visitor.readToEnd()).end, "end");
  await within(stopped, "the client to stop once it is idle");
});

Deno.test("a client without running streams stops at once, whatever its targets keep open", async () => {
  await using target = await httpTarget(() => new Response("ok"));
  await using server = await startServer();
  await using tunnel = await startTunnel(server, [{ kind: "http", target: target.address }]);
  assert.equal((await request(server.httpPort, { host: tunnel.hostname })).text, "ok");
  await within(tunnel.tunnel.stop({ graceMs: FOR_EVER_MS }), "the client to stop");
  assert.equal(await tunnel.tunnel.closed, undefined);
});

Deno.test("a second stop of a client cuts what the first let run", async () => {
  await using target = await echoTarget();
  await using server = await startServer();
  await using tunnel = await startTunnel(server);
  await using visitor = await connectTcp(await tunnel.tcp(target.address));
  await visitor.send("x");
  await visitor.readExactly(1);
  const stopped = tunnel.tunnel.stop({ graceMs: FOR_EVER_MS });
  await visitor.send("y");
  await visitor.readExactly(1);
  await tunnel.tunnel.stop({ graceMs: 0 });
  assert.equal((await visitor.readToEnd()).end, "reset");
  await stopped;
});

Deno.test("a client that waits for a handler whose visitor has gone leaves the event loop to others", async () => {
  const begun = Promise.withResolvers<void>();
  const gone = Promise.withResolvers<void>();
  const go = Promise.withResolvers<void>();
  await using server = await startServer();
  await using tunnel = await startTunnel(server, [{
    kind: "http",
    async target(incoming) {
      begun.resolve();
      await incoming.text().catch(() => gone.resolve());
      await go.promise;
      return new Response("too late");
    },
  }]);
  const visitor = await connectTcp(server.httpPort);
  await visitor.send(`POST / HTTP/1.1\r\nHost: ${tunnel.hostname}\r\nContent-Length: 100000\r\n\r\nfirst bytes`);
  await begun.promise;
  visitor.reset();
  await gone.promise;
  const stopped = tunnel.tunnel.stop({ graceMs: FOR_EVER_MS });
  setTimeout(() => go.resolve(), 50);
  await within(stopped, "the client to stop when its handler has ended");
});
