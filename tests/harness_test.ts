import assert from "node:assert/strict";
import {
  connectTcp,
  echoTarget,
  httpTarget,
  jsonEcho,
  programTest,
  request,
  run,
  spawnPktriot,
  spawnSpokes,
  startServer,
  startTunnel,
} from "./harness.ts";

Deno.test("a server and a client in this process publish HTTP and TCP", async () => {
  await using web = await httpTarget(jsonEcho);
  await using echo = await echoTarget();
  await using server = await startServer();
  await using tunnel = await startTunnel(server);
  const host = await tunnel.http(web.address);
  const port = await tunnel.tcp(echo.address);
  const response = await request(server.httpPort, { host, path: "/a?b=c", method: "POST", body: "hello" });
  assert.equal(response.status, 200);
  assert.partialDeepStrictEqual(JSON.parse(response.text), { method: "POST", path: "/a?b=c", body: "hello" });
  await using visitor = await connectTcp(port);
  await visitor.send("ping");
  assert.equal(new TextDecoder().decode(await visitor.readExactly(4)), "ping");
  await visitor.endWrite();
  assert.deepEqual((await visitor.readToEnd()).end, "end");
});

Deno.test("a server and a client in processes of their own do the same", async () => {
  await using web = await httpTarget(jsonEcho);
  await using spokes = await spawnSpokes();
  await using pktriot = await spawnPktriot(spokes, { rules: [{ kind: "http", target: web.address }] });
  const response = await request(spokes.httpPort, { host: pktriot.hostname });
  assert.equal(response.status, 200);
  assert.equal(await pktriot.kill("SIGTERM"), 0);
  assert.equal(await spokes.kill("SIGTERM"), 0);
});

programTest("curl resolves the names of the tests to loopback", ["curl"], async () => {
  await using web = await httpTarget(() => new Response("hello"));
  await using server = await startServer();
  await using tunnel = await startTunnel(server, [{ kind: "http", target: web.address }]);
  const { stdout, code } = await run("curl", ["-sS", server.url(tunnel.hostname)]);
  assert.deepEqual({ stdout, code }, { stdout: "hello", code: 0 });
});
