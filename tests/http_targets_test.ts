import assert from "node:assert/strict";
import { join } from "node:path";
import { parseClientHello } from "../protocol/client_hello.ts";
import { testCertificate } from "../net/testing/certificate.ts";
import {
  connectTcp,
  echoTarget,
  httpTarget,
  jsonEcho,
  readRequest,
  readResponse,
  request,
  requestText,
  spawnPktriot,
  startServer,
  startTunnel,
  tcpTarget,
  tempDir,
} from "./harness.ts";

Deno.test("every spelling of a TCP target leads to it", async () => {
  await using web = await httpTarget(() => new Response("here"));
  await using server = await startServer();
  await using tunnel = await startTunnel(server);
  const spellings = [`${web.port}`, web.address, `localhost:${web.port}`, `http://127.0.0.1:${web.port}/`];
  for (const target of spellings) {
    const host = await tunnel.http(target);
    assert.equal((await request(server.httpPort, { host })).text, "here", target);
  }
});

Deno.test("a target may be an IPv6 address", async () => {
  await using target = await tcpTarget(async (wire) => {
    await readRequest(wire);
    await wire.send("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nsix");
  }, { host: "::1" });
  await using server = await startServer();
  await using tunnel = await startTunnel(server, [{ kind: "http", target: target.address }]);
  assert.equal((await request(server.httpPort, { host: tunnel.hostname })).text, "six");
});

Deno.test({
  name: "a target may be a unix socket, for HTTP and for TCP",
  ignore: Deno.build.os === "windows",
  async fn() {
    await using folder = await tempDir();
    await using echo = await echoTarget({ path: join(folder.path, "echo.sock") });
    await using web = await tcpTarget(async (wire) => {
      const { get } = await readRequest(wire);
      const host = get("host") ?? "";
      await wire.send(`HTTP/1.1 200 OK\r\nContent-Length: ${host.length}\r\n\r\n${host}`);
    }, { path: join(folder.path, "web.sock") });
    await using server = await startServer();
    await using tunnel = await startTunnel(server);
    const host = await tunnel.http(web.address);
    assert.equal((await request(server.httpPort, { host })).text, host);
    await using visitor = await connectTcp(await tunnel.tcp(echo.address));
    await visitor.send("over a socket");
    assert.equal(await visitor.readUntil("socket"), "over a socket");
  },
});

Deno.test("a folder is a web site, and nothing outside it is served", async () => {
  await using folder = await tempDir();
  await folder.write("secret", "secret");
  const root = join(folder.path, "site");
  await Deno.mkdir(join(root, "sub"), { recursive: true });
  await folder.write("site/index.html", "<p>home</p>");
  await folder.write("site/sub/index.html", "<p>sub</p>");
  await folder.write("site/data.json", "[1]");
  await Deno.symlink(join(folder.path, "secret"), join(root, "link"));
  await using server = await startServer();
  await using tunnel = await startTunnel(server, [{ kind: "http", target: root }]);
  await using wire = await connectTcp(server.httpPort);
  const ask = (path: string, method = "GET") => request(0, { host: tunnel.hostname, path, method, wire });
  const home = await ask("/");
  assert.deepEqual([home.status, home.text, home.get("content-type")], [
    200,
    "<p>home</p>",
    "text/html; charset=utf-8",
  ]);
  assert.equal((await ask("/sub/")).text, "<p>sub</p>");
  assert.match((await ask("/data.json")).get("content-type") ?? "", /^application\/json/);
  const head = await ask("/data.json", "HEAD");
  assert.deepEqual([head.status, head.get("content-length")], [200, "3"]);
  assert.equal((await ask("/missing")).status, 404);
  assert.equal((await ask("/", "POST")).status, 405);
  for (const path of ["/../secret", "/%2e%2e/secret", "/..%2fsecret", "/sub/..%5c..%5csecret", "/link"]) {
    const { status, text } = await ask(path);
    assert.ok(status >= 400 && status < 500, `${path}: ${status}`);
    assert.doesNotMatch(text, /^secret/, path);
  }
});

Deno.test("a handler of the embedding program answers, streams and sees the visitor's request", async () => {
  await using server = await startServer();
  await using tunnel = await startTunnel(server, [{ kind: "http", target: jsonEcho }]);
  const host = tunnel.hostname;
  const answer = await request(server.httpPort, { host, method: "PUT", path: "/p?q=1", body: "content" });
  assert.partialDeepStrictEqual(JSON.parse(answer.text), { method: "PUT", path: "/p?q=1", body: "content" });
  await tunnel.http(() => {
    throw new Error("a secret of the program");
  });
  const failed = await request(server.httpPort, { host });
  assert.equal(failed.status, 500);
  assert.doesNotMatch(failed.text, /secret/);
});

Deno.test("without rules the assigned hostname shows the default page", async () => {
  await using server = await startServer();
  await using tunnel = await startTunnel(server);
  const { status, text, get } = await request(server.httpPort, { host: tunnel.hostname });
  assert.deepEqual([status, get("content-type")], [200, "text/html; charset=utf-8"]);
  assert.match(text, new RegExp(`pktriot route http add --domain ${tunnel.hostname}`));
  assert.equal((await request(server.httpPort, { host: tunnel.hostname, method: "POST" })).status, 405);
  // It goes as soon as there is a rule, and comes back with the last one.
  await using web = await httpTarget(() => new Response("mine"));
  await tunnel.http(web.address);
  assert.equal((await request(server.httpPort, { host: tunnel.hostname })).text, "mine");
  await tunnel.publish([]);
  assert.match((await request(server.httpPort, { host: tunnel.hostname })).text, /pktriot route/);
});

Deno.test("an https:// target is verified, and asked for by its own name", async () => {
  const { certificate, key } = await testCertificate("localhost");
  await using web = await httpTarget(jsonEcho, { cert: certificate, key });
  await using server = await startServer();
  const target = `https://localhost:${web.port}`;
  await using tunnel = await startTunnel(server, [{ kind: "http", target }]);
  const host = tunnel.hostname;
  const refused = await request(server.httpPort, { host });
  assert.equal(refused.status, 502);
  assert.match(refused.text, /E2006/);
  await tunnel.log.waitFor("target failed", { code: "E2006" });

  await tunnel.http(target, { insecureUpstream: true });
  const { headers } = JSON.parse((await request(server.httpPort, { host })).text);
  assert.equal(headers.host, `localhost:${web.port}`);
  assert.equal(headers["x-forwarded-host"], host);
  await tunnel.http(target, { insecureUpstream: true, hostHeader: "app.internal" });
  assert.equal(JSON.parse((await request(server.httpPort, { host })).text).headers.host, "app.internal");
});

Deno.test("an https:// target whose certificate is trusted is reached without more ado", async () => {
  const { authority, certificate, key } = await testCertificate("localhost");
  await using folder = await tempDir();
  const trusted = await folder.write("authority.pem", authority);
  await using web = await httpTarget(() => new Response("verified"), { cert: certificate, key });
  await using server = await startServer();
  await using pktriot = await spawnPktriot(server, {
    rules: [{ kind: "http", target: `https://localhost:${web.port}` }],
    env: { DENO_CERT: trusted, NODE_EXTRA_CA_CERTS: trusted },
  });
  assert.equal((await request(server.httpPort, { host: pktriot.hostname })).text, "verified");
});

Deno.test("the name of an https:// target is asked for in TLS, without HTTP/2", async () => {
  await using target = await tcpTarget();
  await using server = await startServer();
  await using tunnel = await startTunnel(server, [{ kind: "http", target: `https://localhost:${target.port}` }]);
  await using visitor = await connectTcp(server.httpPort);
  await visitor.send(requestText({ host: tunnel.hostname }));
  const inside = await target.accept();
  const hello = parseClientHello(await inside.next() ?? new Uint8Array());
  assert.deepEqual(hello, { kind: "hello", serverName: "localhost", alpn: ["http/1.1"] });
  inside.reset();
  const { status, text } = await readResponse(visitor);
  assert.equal(status, 502);
  assert.match(text, /E2006/);
});
