import assert from "node:assert/strict";
import type { RuleState } from "../mod.ts";
import {
  connectTcp,
  echoTarget,
  eventually,
  freePort,
  httpTarget,
  readRequest,
  readResponse,
  request,
  requestText,
  startServer,
  startTunnel,
  tcpTarget,
} from "./harness.ts";

Deno.test("rules come, change and go while the streams of other rules run untouched", async () => {
  await using echo = await echoTarget();
  await using download = await tcpTarget();
  await using one = await httpTarget(() => new Response("one"));
  await using two = await httpTarget(() => new Response("two"));
  await using server = await startServer();
  await using tunnel = await startTunnel(server);
  const port = await tunnel.tcp(echo.address);
  const files = await tunnel.http(download.address, { domain: `files.${server.domain}` });
  await using ssh = await connectTcp(port);
  await using visitor = await connectTcp(server.httpPort);
  await visitor.send(requestText({ host: files }));
  const sending = await download.accept();
  await readRequest(sending);
  await sending.send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n");
  await visitor.readUntil("\r\n\r\n");
  let moved = 0;
  async function move(): Promise<void> {
    await ssh.send("x");
    await ssh.readExactly(1);
    await sending.send("y");
    await visitor.readExactly(1);
    moved++;
  }

  const blog = `blog.${server.domain}`;
  const shown = async () => {
    await move();
    const { status, text } = await request(server.httpPort, { host: blog });
    return status === 200 ? text : status;
  };
  assert.equal(await shown(), 404);
  for (let round = 0; round < 5; round++) {
    await tunnel.http(one.address, { domain: blog });
    assert.equal(await shown(), "one");
    await tunnel.http(two.address, { domain: blog });
    assert.equal(await shown(), "two");
    await tunnel.publish([
      { kind: "tcp", port, target: echo.address },
      { kind: "http", domain: files, target: download.address },
    ]);
    assert.equal(await shown(), 404);
  }
  await sending.send("y".repeat(100 - moved));
  await visitor.readExactly(100 - moved);
  assert.equal(echo.connections.length, 1);
  assert.equal(download.connections.length, 1);
});

Deno.test("a new target counts from the next request on, also on kept connections of the visitor and to the target", async () => {
  await using one = await httpTarget(() => new Response("one"));
  await using two = await httpTarget(() => new Response("two"));
  await using server = await startServer();
  await using tunnel = await startTunnel(server);
  await using wire = await connectTcp(server.httpPort);
  const ask = async () => (await request(0, { host: tunnel.hostname, wire })).text;
  for (let round = 0; round < 5; round++) {
    await tunnel.http(one.address);
    assert.deepEqual([await ask(), await ask()], ["one", "one"]);
    await tunnel.http(two.address);
    assert.deepEqual([await ask(), await ask()], ["two", "two"]);
    await tunnel.http(() => new Response(`handler ${round}`));
    assert.equal(await ask(), `handler ${round}`);
    await tunnel.http(() => new Response("another handler"));
    assert.equal(await ask(), "another handler");
  }
});

Deno.test("an exchange that runs while its rule changes ends with the old target, the next begins with the new", async () => {
  await using old = await tcpTarget();
  await using fresh = await httpTarget(() => new Response("fresh"));
  await using server = await startServer();
  await using tunnel = await startTunnel(server);
  const host = await tunnel.http(old.address);
  await using wire = await connectTcp(server.httpPort);
  await wire.send(requestText({ host }));
  const inside = await old.accept();
  await readRequest(inside);
  await inside.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nfirst");
  await wire.readUntil("first");
  await tunnel.http(fresh.address);
  await inside.send("-last");
  assert.equal(await wire.readUntil("-last"), "-last");
  assert.equal((await request(0, { host, wire })).text, "fresh");
  // Its connection is not kept for a target that is no more.
  assert.equal(await inside.next(), null);
});

Deno.test("a TCP rule leads new visitors to its new target, and lets the running ones go on", async () => {
  await using one = await tcpTarget();
  await using two = await tcpTarget();
  await using server = await startServer();
  await using tunnel = await startTunnel(server);
  const port = await tunnel.tcp(one.address);
  await using before = await connectTcp(port);
  await before.send("before");
  const first = await one.accept();
  await first.readUntil("before");
  await tunnel.tcp(two.address, { port });
  await using after = await connectTcp(port);
  await after.send("after");
  await (await two.accept()).readUntil("after");
  await before.send("still");
  await first.readUntil("still");
});

Deno.test("a rule that is taken out takes its streams, its port and its name's service with it", async () => {
  await using echo = await echoTarget();
  await using target = await tcpTarget();
  await using server = await startServer();
  await using tunnel = await startTunnel(server);
  const port = await tunnel.tcp(echo.address);
  const host = await tunnel.http(target.address, { domain: `files.${server.domain}` });
  await using stream = await connectTcp(port);
  await stream.send("x");
  await stream.readExactly(1);
  await using visitor = await connectTcp(server.httpPort);
  await visitor.send(requestText({ host }));
  const inside = await target.accept();
  await readRequest(inside);
  await inside.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n12345");
  await visitor.readUntil("12345");
  await tunnel.publish([]);
  assert.equal((await stream.readToEnd()).end, "reset");
  assert.equal((await visitor.readToEnd()).end, "reset");
  assert.equal((await inside.readToEnd()).end, "reset");
  await assert.rejects(connectTcp(port), { code: "ECONNREFUSED" });
});

Deno.test("bad rules are refused one by one, or all together before anything changes", async () => {
  await using web = await httpTarget(() => new Response("good"));
  await using server = await startServer();
  await using tunnel = await startTunnel(server);
  const hostname = await tunnel.http(web.address);
  // What the client can know itself changes nothing.
  for (const target of ["", "no port", "ftp://host", "host:99999", "http://host/path", "unix:relative"]) {
    await assert.rejects(tunnel.tunnel.setRules([{ kind: "http", target }]), { code: "E5009" }, target);
  }
  const twice = [{ kind: "http", target: web.address }, {
    kind: "http",
    domain: hostname,
    target: web.address,
  }] as const;
  await assert.rejects(tunnel.tunnel.setRules(twice), { code: "E4012" });
  assert.equal((await request(server.httpPort, { host: hostname })).text, "good");
  // What only the server knows concerns that rule alone.
  const states = await tunnel.tunnel.setRules([
    { kind: "http", target: web.address },
    { kind: "http", domain: "example.com", target: web.address },
    { kind: "http", domain: `www.${server.domain}`, target: web.address },
    { kind: "http", domain: `bad_name.${server.domain}`, target: web.address },
    { kind: "tcp", port: 1, target: web.address },
  ]);
  const codes = ({ state, code }: RuleState) => code ?? state;
  assert.deepEqual(states.map(codes), ["active", "E4016", "E4002", "E4003", "E4008"]);
  assert.equal((await request(server.httpPort, { host: hostname })).text, "good");
});

Deno.test("the newest of several quick edits wins", async () => {
  await using server = await startServer();
  await using tunnel = await startTunnel(server);
  const edits = Array.from({ length: 50 }, (_, index) => {
    return tunnel.tunnel.setRules([{ kind: "http", target: () => new Response(`edit ${index}`) }]);
  });
  const states = await Promise.all(edits);
  assert.equal(states.at(-1)?.[0]?.state, "active");
  assert.equal((await request(server.httpPort, { host: tunnel.hostname })).text, "edit 49");
});

Deno.test("a target that was down is reached as soon as it is up, without any edit", async () => {
  await using server = await startServer();
  await using tunnel = await startTunnel(server);
  const port = await freePort();
  const host = await tunnel.http(`127.0.0.1:${port}`);
  await using wire = await connectTcp(server.httpPort);
  assert.equal((await request(0, { host, wire })).status, 502);
  const listener = Deno.serve({ hostname: "127.0.0.1", port, onListen() {} }, () => new Response("up"));
  try {
    assert.equal((await request(0, { host, wire })).text, "up");
  } finally {
    await listener.shutdown();
  }
  await eventually(async () => (await request(0, { host, wire })).status === 502, "the target to be down again");
});

Deno.test("hostHeader changes what the target is told, at once", async () => {
  await using web = await httpTarget((asked) => new Response(asked.headers.get("host")));
  await using server = await startServer();
  await using tunnel = await startTunnel(server);
  await using wire = await connectTcp(server.httpPort);
  for (const hostHeader of ["app.internal", "other.internal:81", undefined]) {
    const host = await tunnel.http(web.address, hostHeader === undefined ? {} : { hostHeader });
    await wire.send(requestText({ host }));
    assert.equal((await readResponse(wire)).text, hostHeader ?? host);
  }
});
