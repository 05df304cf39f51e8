import assert from "node:assert/strict";
import { type ClientHttpRule, encodeInvite, parseInvite } from "../mod.ts";
import {
  connectTcp,
  eventually,
  httpTarget,
  jsonEcho,
  programTest,
  readRequest,
  readResponse,
  request,
  run,
  type ServerSetup,
  startServer,
  startTunnel,
  tcpTarget,
  tempDir,
  type TestServer,
  type TestTunnel,
} from "./harness.ts";
import { RawClient } from "./harness/raw_client.ts";
import { certificateFolder, certificateShown } from "./harness/tls.ts";

const TOKEN = "evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ-PCt92wr-oA";
const CHALLENGE = `/.well-known/acme-challenge/${TOKEN}`;

/** A server that has a certificate for its tunnels, and a tunnel with one rule. */
interface Site extends AsyncDisposable {
  readonly server: TestServer;
  readonly tunnel: TestTunnel;
  readonly host: string;
}

async function publish(
  target: ClientHttpRule["target"],
  rule: Partial<ClientHttpRule>,
  options: ServerSetup = {},
): Promise<Site> {
  await using stack = new AsyncDisposableStack();
  const certificates = stack.use(await certificateFolder());
  await certificates.put("wildcard.pem", "*.tunnels.localhost");
  const server = stack.use(await startServer({ certificatesDir: certificates.path, ...options }));
  const tunnel = stack.use(await startTunnel(server, [{ kind: "http", target, ...rule }]));
  const all = stack.move();
  return { server, tunnel, host: tunnel.hostname, [Symbol.asyncDispose]: () => all.disposeAsync() };
}

programTest(
  "curl: plain HTTP is sent to HTTPS with its path, a method that is not GET as it is",
  ["curl"],
  async () => {
    await using target = await tcpTarget();
    await using site = await publish(target.address, { redirect: true });
    const { server, host } = site;
    const secure = `https://${host}:${server.tlsPort}`;
    const cases: [args: string[], path: string, status: number, location: string][] = [
      [[], "/", 301, `${secure}/`],
      [[], "/a/b?c=d&e=%2F", 301, `${secure}/a/b?c=d&e=%2F`],
      [["-I"], "/x", 301, `${secure}/x`],
      [["-d", "body"], "/form?x", 308, `${secure}/form?x`],
      [["-X", "PUT"], "/put", 308, `${secure}/put`],
      [["-X", "DELETE"], "/", 308, `${secure}/`],
      [["-X", "OPTIONS", "--request-target", "*"], "/", 308, `${secure}/`],
      [["--path-as-is"], "//elsewhere.example/..", 301, `${secure}//elsewhere.example/..`],
      [["-H", `Host: ${host.toUpperCase()}.:80`], "/", 301, `${secure}/`],
      [["-H", "X-Forwarded-Proto: https"], "/", 301, `${secure}/`],
    ];
    for (const [args, path, status, location] of cases) {
      const format = ["-o", "/dev/null", "-D", "-", "-w", "%{http_code}"];
      const { stdout, stderr } = await run("curl", [
        "-sS",
        "--max-time",
        "20",
        ...format,
        ...args,
        server.url(host, path),
      ]);
      assert.match(
        stdout,
        new RegExp(`\r\nLocation: ${location.replaceAll(/[?.*+]/g, "\\$&")}\r\n`),
        `${path} ${stderr}`,
      );
      assert.ok(stdout.endsWith(`${status}`), `${args.join(" ")} ${path}: ${stdout}`);
    }
    assert.deepEqual(target.connections, []);
  },
);

Deno.test("a redirect keeps its connection, unless a body comes that nobody wants", async () => {
  await using site = await publish(() => new Response("no"), { redirect: true });
  await using wire = await connectTcp(site.server.httpPort);
  for (let count = 0; count < 3; count++) {
    assert.equal((await request(0, { host: site.host, wire, path: `/${count}` })).status, 301);
  }
  const posted = await request(0, { host: site.host, wire, method: "POST", body: "x" });
  assert.deepEqual([posted.status, posted.get("connection")], [308, "close"]);
});

Deno.test("while HTTPS does not work nobody may remember that he was sent there", async () => {
  await using certificates = await certificateFolder();
  await using server = await startServer({ certificatesDir: certificates.path });
  await using tunnel = await startTunnel(server);
  const ask = async (method: string) => {
    const { status, get } = await request(server.httpPort, { host: tunnel.hostname, method, path: "/x?y" });
    return [status, get("cache-control"), get("location")];
  };
  const location = `https://${tunnel.hostname}:${server.tlsPort}/x?y`;
  const [temporary, permanent] = [[307, "no-store", location], [301, undefined, location]];
  for (const tls of [{}, { tls: { end: "server" } }] as const) {
    await tunnel.http(() => new Response("no"), { redirect: true, ...tls });
    for (const method of ["GET", "HEAD", "DELETE"]) assert.deepEqual(await ask(method), temporary);
  }
  await certificates.put("wildcard.pem", "*.tunnels.localhost");
  await eventually(
    () => certificateShown(server.tlsPort, tunnel.hostname).catch(() => false),
    "the certificate to be taken",
  );
  assert.deepEqual(await ask("GET"), permanent);
  assert.deepEqual(await ask("DELETE"), [308, undefined, location]);
  // Where the client ends TLS, it says how long its certificate lasts, if it has one.
  await tunnel.tunnel.stop();
  await using raw = await RawClient.dial(server.tlsPort, tunnel.identity);
  await raw.join();
  const rule = { kind: "http", domain: tunnel.hostname, target: "", redirect: true } as const;
  const [past, future] = [-60_000, 60_000].map((ms) => new Date(Date.now() + ms).toISOString());
  const warning = { code: "E6009", message: "soon" };
  const cases = [
    [{ tls: "client" }, temporary],
    [{ tls: "client", notAfter: past! }, temporary],
    [{ tls: "client", notAfter: future!, warning }, permanent],
    [{ tls: "target" }, permanent],
  ] as const;
  for (const [revision, [more, expected]] of cases.entries()) {
    await raw.control.send({ kind: "rules", revision: revision + 1, rules: [{ ...rule, ...more, firewall: [] }] });
    await raw.next("rules.applied");
    assert.deepEqual(await ask("GET"), expected, JSON.stringify(more));
  }
});

Deno.test("port 443 is not named, and the public port is, whatever the server listens on", async () => {
  for (const [publicPort, shown] of [[443, ""], [8443, ":8443"]] as const) {
    await using certificates = await certificateFolder();
    await certificates.put("wildcard.pem", "*.tunnels.localhost");
    await using server = await startServer({
      certificatesDir: certificates.path,
      tls: { hostname: "127.0.0.1", port: 0, publicPort },
    });
    const invite = parseInvite(await server.invite());
    const reachable = encodeInvite({ ...invite, server: `127.0.0.1:${server.tlsPort}` });
    await using tunnel = await startTunnel(server, [{ kind: "http", target: () => new Response(), redirect: true }], {
      invite: reachable,
    });
    const { status, get } = await request(server.httpPort, { host: tunnel.hostname, path: "/x" });
    assert.deepEqual([status, get("location")], [301, `https://${tunnel.hostname}${shown}/x`]);
  }
});

Deno.test("what a trusted proxy says came over https is not sent round in a circle", async () => {
  await using target = await httpTarget(jsonEcho);
  await using site = await publish(target.address, { redirect: true }, { trustedProxies: ["127.0.0.2"] });
  const { server, host } = site;
  const asked = (from: string, proto?: string) =>
    request(server.httpPort, {
      host,
      from,
      ...(proto === undefined ? {} : { fields: { "X-Forwarded-Proto": proto } }),
    });
  const answer = await asked("127.0.0.2", "https");
  assert.deepEqual([answer.status, JSON.parse(answer.text).headers["x-forwarded-proto"]], [200, "https"]);
  assert.equal((await asked("127.0.0.2", "http")).status, 301);
  assert.equal((await asked("127.0.0.2")).status, 301);
  assert.equal((await asked("127.0.0.2", "https, http")).status, 301);
  assert.equal((await asked("127.0.0.3", "https")).status, 301, "anybody can say that");
});

Deno.test("the firewall comes before the redirect", async () => {
  await using site = await publish(() => new Response("no"), {
    redirect: true,
    firewall: [{ action: "drop", network: "127.0.0.2" }],
  });
  const { server, host } = site;
  assert.equal((await request(server.httpPort, { host, from: "127.0.0.2" })).status, 403);
  assert.equal((await request(server.httpPort, { host, from: "127.0.0.3" })).status, 301);
});

Deno.test("a challenge goes to the client that looks after the certificate: before firewall and redirect, and to nobody else", async () => {
  await using server = await startServer();
  await using tunnel = await startTunnel(server);
  await tunnel.tunnel.stop();
  await using raw = await RawClient.dial(server.tlsPort, tunnel.identity);
  const { tunnel: { hostname } } = await raw.join();
  // A client of ours would have no answer for a token that no authority asked for; this one says what it was asked.
  const rule = {
    ...{ kind: "http" as const, domain: hostname, target: "", tls: "client" as const, acme: true, redirect: true },
    firewall: [{ action: "drop" as const, network: "0.0.0.0/0" }],
  };
  await raw.control.send({ kind: "rules", revision: 1, rules: [rule] });
  assert.equal((await raw.next("rules.applied")).rules[0]?.state, "active");
  const ask = (path: string, more: { host?: string } = {}) =>
    request(server.httpPort, { host: hostname, path, ...more });
  // It has no data channel: that its stream waits for one shows where it goes.
  await using waiting = await connectTcp(server.httpPort);
  await waiting.send(`GET ${CHALLENGE} HTTP/1.1\r\nHost: ${hostname}\r\n\r\n`);
  await eventually(
    async () => await server.metric("spokes_streams_waiting") === 1,
    "the challenge to reach the client",
  );
  for (const path of ["/", "/.well-known/acme-challenge", "/.well-known/acme-challenge/"]) {
    assert.equal((await ask(path)).status, 403, path);
  }
  const traversals = ["..", "../../secret", "%2e%2e%2fsecret", `${TOKEN}/../..`, `${TOKEN}?x`, "a%00b", "a.b"];
  for (const token of traversals) {
    assert.equal((await ask(`/.well-known/acme-challenge/${token}`)).status, 403, token);
  }
  assert.equal((await ask(CHALLENGE, { host: "nobody.example" })).status, 404);
});

Deno.test("nobody but the client that says so is asked about a name that the server manages", async () => {
  await using target = await tcpTarget();
  await using server = await startServer({ domains: { withoutProof: ["shop.example"] } });
  await using tunnel = await startTunnel(server);
  const own = await tunnel.http(target.address);
  for (const more of [{}, { redirect: true }]) {
    await tunnel.http(target.address, more);
    for (const host of [own, `www.${own}`]) {
      const { status, text } = await request(server.httpPort, { host, path: CHALLENGE });
      assert.deepEqual([status, text], [404, "There is no such challenge\n"], host);
    }
  }
  assert.deepEqual(target.connections, []);
  // A name of the tunnel's own, whose certificate may be got by whatever is behind it.
  const theirs = await tunnel.http(target.address, { domain: "www.shop.example" });
  const answered = request(server.httpPort, { host: theirs, path: CHALLENGE });
  const inside = await target.accept();
  assert.equal((await readRequest(inside)).target, CHALLENGE);
  await inside.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
  assert.equal((await answered).text, "ok");
});

Deno.test("challenges that nobody answers leave no channel behind", async () => {
  await using folder = await tempDir();
  await using server = await startServer();
  await using tunnel = await startTunnel(server, [], {
    acme: { folder: folder.path, directory: "https://127.0.0.1:1/directory" },
  });
  const host = await tunnel.http(() => new Response("ok"), { tls: { end: "client", certificate: "acme" } });
  await using wire = await connectTcp(server.httpPort);
  for (let count = 0; count < 40; count++) {
    await wire.send(`GET ${CHALLENGE}${count} HTTP/1.1\r\nHost: ${host}\r\n\r\n`);
    assert.equal((await readResponse(wire)).status, 404);
  }
  await eventually(async () => await server.metric("spokes_streams") === 0, "the streams to end");
  assert.ok(await server.metric("spokes_data_channels") <= 8, "they were given back");
});
