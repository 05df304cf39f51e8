import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import type { ClientEvent } from "../mod.ts";
import {
  connectTcp,
  eventually,
  fill,
  httpTarget,
  request,
  sha256,
  startServer,
  startTunnel,
  tcpTarget,
  type TestTunnel,
  within,
} from "./harness.ts";
import { linkProxy } from "./harness/link_proxy.ts";

/** Resolves with the next event of a kind that `emit` is told of. */
function eventQueue(): {
  emit: (event: ClientEvent) => void;
  next: (kind: ClientEvent["kind"]) => Promise<ClientEvent>;
} {
  const seen: ClientEvent[] = [];
  let from = 0;
  return {
    emit: (event) => void seen.push(event),
    async next(kind) {
      const index = await eventually(() => {
        const at = seen.findIndex((event, index) => index >= from && event.kind === kind);
        return at < 0 ? undefined : at + 1;
      }, `the event "${kind}"`);
      from = index;
      return seen[index - 1]!;
    },
  };
}

function connects(tunnel: TestTunnel): boolean[] {
  return tunnel.events.flatMap((event) => event.kind === "connected" ? [event.welcome.resumed] : []);
}

Deno.test("a control link that is cut is resumed without hurting a running download", async () => {
  const file = fill(8 * 1024 * 1024);
  await using target = await tcpTarget();
  await using server = await startServer();
  await using proxy = await linkProxy(server.tlsPort);
  const events = eventQueue();
  await using tunnel = await startTunnel(server, [], { server: proxy.address, onEvent: events.emit });
  const port = await tunnel.tcp(target.address);
  await using visitor = await connectTcp(port);
  const origin = await target.accept();
  const sent = origin.send(file.subarray(0, file.length / 2));
  const first = await visitor.readExactly(file.length / 4);
  await events.next("connected");
  (await proxy.link(0)).cut();
  await events.next("disconnected");
  await events.next("connected");
  await sent;
  await origin.send(file.subarray(file.length / 2));
  await origin.endWrite();
  const rest = await visitor.readToEnd();
  assert.equal(rest.end, "end");
  assert.equal(sha256(Buffer.concat([first, rest.bytes])), sha256(file));
  assert.deepEqual(connects(tunnel), [false, true]);
  assert.equal(server.log.all("tunnel connected").length, 1, "one session all the time");
});

Deno.test("after the resume window what is left is reset, and the tunnel comes back by itself", async () => {
  await using target = await tcpTarget();
  await using server = await startServer({ limits: { resumeMs: 300 } });
  await using proxy = await linkProxy(server.tlsPort);
  const events = eventQueue();
  await using tunnel = await startTunnel(server, [], { server: proxy.address, onEvent: events.emit });
  await events.next("connected");
  const port = await tunnel.tcp(target.address);
  await using visitor = await connectTcp(port);
  await visitor.send("hello");
  const origin = await target.accept();
  assert.equal(await origin.readUntil("hello"), "hello");
  proxy.accept = "reset";
  proxy.links[0]!.cut();
  assert.equal((await visitor.readToEnd()).end, "reset");
  assert.equal((await origin.readToEnd()).end, "reset");
  const offline = await request(server.httpPort, { host: tunnel.hostname });
  assert.equal(offline.status, 503);
  assert.match(offline.text, /E1503/);
  proxy.accept = "join";
  const back = await events.next("connected");
  assert.equal(back.kind === "connected" && back.welcome.resumed, false);
  await using again = await eventually(() => connectTcp(port).catch(() => undefined), "the port to be open again");
  await again.send("again");
  assert.equal(await (await target.accept()).readUntil("again"), "again");
});

Deno.test("a black-holed control link is noticed by the missing heart beats of both sides, and resumed", async () => {
  await using target = await tcpTarget();
  await using server = await startServer({ limits: { heartbeatMs: 500 } });
  await using proxy = await linkProxy(server.tlsPort);
  const events = eventQueue();
  await using tunnel = await startTunnel(server, [], { server: proxy.address, onEvent: events.emit });
  await events.next("connected");
  await using visitor = await connectTcp(await tunnel.tcp(target.address));
  const origin = await target.accept();
  proxy.links[0]!.freeze();
  proxy.accept = "reset";
  await events.next("disconnected");
  await server.log.waitFor("control lost");
  proxy.accept = "join";
  const back = await events.next("connected");
  assert.equal(back.kind === "connected" && back.welcome.resumed, true);
  await origin.send("still here");
  assert.equal(await visitor.readUntil("here"), "still here");
});

Deno.test("a live control link outlasts many heart beats without traffic", async () => {
  await using server = await startServer({ limits: { heartbeatMs: 500 } });
  await using proxy = await linkProxy(server.tlsPort);
  await using tunnel = await startTunnel(server, [], { server: proxy.address });
  const control = await proxy.link(0);
  const before = control.bytes.up;
  // Three pings and their pongs: longer than the server would wait for a silent one.
  await eventually(() => control.bytes.up >= before + 3 * 20, "heart beats");
  assert.deepEqual(connects(tunnel), [false]);
  assert.equal(server.log.all("control lost").length, 0);
});

Deno.test("silent data channels are dropped and replaced; visitors meet none of them", async () => {
  await using target = await httpTarget(() => new Response("ok"));
  await using server = await startServer({ limits: { channelSilenceMs: 400, channelPongMs: 400 } });
  await using proxy = await linkProxy(server.tlsPort);
  await using tunnel = await startTunnel(server, [{ kind: "http", target: target.address }], { server: proxy.address });
  await eventually(async () => await server.metric("spokes_data_channels_idle") >= 4, "a full pool");
  const silent = proxy.links.slice(1);
  for (const link of silent) link.freeze();
  await eventually(() => silent.every((link) => link.endedByServer), "silent channels to be dropped");
  assert.equal((await request(server.httpPort, { host: tunnel.hostname })).text, "ok");
  assert.deepEqual(connects(tunnel), [false], "the session went on");
});

Deno.test("a download that its visitor does not read is not taken for a dead channel", async () => {
  const file = fill(16 * 1024 * 1024);
  await using target = await tcpTarget();
  await using server = await startServer({ limits: { channelSilenceMs: 200, channelPongMs: 200 } });
  await using proxy = await linkProxy(server.tlsPort);
  await using tunnel = await startTunnel(server, [], { server: proxy.address });
  await using visitor = await connectTcp(await tunnel.tcp(target.address));
  const origin = await target.accept();
  const sent = origin.send(file).then(() => origin.endWrite());
  await visitor.readExactly(1);
  const bytes = (): number => proxy.links.reduce((sum, link) => sum + link.bytes.down, 0);
  await eventually(async () => {
    const before = bytes();
    await new Promise((resolve) => setTimeout(resolve, 200));
    return bytes() === before;
  }, "everything between to be full");
  // Idle channels are pinged and answer: each round is one in which a dead channel would have been dropped.
  const idle = proxy.links.at(-1)!;
  for (let round = 0; round < 3; round++) {
    const seen = idle.bytes.up;
    await eventually(() => idle.bytes.up > seen, "an idle channel to answer a ping");
  }
  const rest = await visitor.readToEnd();
  await sent;
  assert.equal(rest.end, "end");
  assert.equal(sha256(rest.bytes), sha256(file.subarray(1)));
});

Deno.test("a client that is cut off ends what is left of its session when the server would have", async () => {
  await using target = await tcpTarget();
  await using server = await startServer();
  await using proxy = await linkProxy(server.tlsPort);
  const events = eventQueue();
  await using tunnel = await startTunnel(server, [], { server: proxy.address, onEvent: events.emit });
  await using visitor = await connectTcp(await tunnel.tcp(target.address));
  const origin = await target.accept();
  await visitor.send("x");
  await origin.readExactly(1);
  const now = performance.now.bind(performance);
  let skewMs = 0;
  performance.now = () => now() + skewMs;
  try {
    proxy.accept = "reset";
    for (const link of proxy.links.slice(1)) link.freeze();
    proxy.links[0]!.cut();
    await events.next("disconnected");
    // Attempts in between must not prolong it.
    for (let step = 0; step < 2; step++) {
      skewMs += 7_000;
      await events.next("disconnected");
    }
    assert.equal(target.open, 1, "not before its time");
    skewMs += 3_000;
    // Soon: later it would be the silence of its data channels that ends them.
    assert.equal((await within(origin.readToEnd(), "the target to be let go", 5_000)).end, "reset");
  } finally {
    performance.now = now;
  }
});
