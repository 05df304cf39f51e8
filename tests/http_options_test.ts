import assert from "node:assert/strict";
import { type ClientHttpRule, hashPassword, type HttpOptions } from "../mod.ts";
import { parseProxyHeader } from "../protocol/proxy_protocol.ts";
import {
  connectTcp,
  freePort,
  httpTarget,
  jsonEcho,
  programTest,
  readRequest,
  request,
  run,
  spawn,
  startServer,
  startTunnel,
  tcpTarget,
  tempDir,
  type TestServer,
  type TestTunnel,
  type Wire,
} from "./harness.ts";
import { RawClient } from "./harness/raw_client.ts";

/** A header of the PROXY protocol between IPv4 addresses. */
const PROXY_HEADER_BYTES = 28;

/** A server, and a tunnel with one rule. */
interface Site extends AsyncDisposable {
  readonly server: TestServer;
  readonly tunnel: TestTunnel;
  readonly host: string;
  /** Runs curl, and gives what it printed. */
  curl(path: string, ...args: string[]): Promise<string>;
  /** The status that curl gets. */
  status(path: string, ...args: string[]): Promise<string>;
}

async function publish(target: string, rule: Partial<ClientHttpRule>): Promise<Site> {
  await using stack = new AsyncDisposableStack();
  const server = stack.use(await startServer());
  const tunnel = stack.use(await startTunnel(server, [{ kind: "http", target, ...rule }]));
  const host = tunnel.hostname;
  async function curl(path: string, ...args: string[]): Promise<string> {
    const { code, stdout, stderr } = await run("curl", ["-sS", "--max-time", "30", ...args, server.url(host, path)]);
    assert.equal(code, 0, `curl ${args.join(" ")}: ${stderr}`);
    return stdout;
  }
  const all = stack.move();
  return {
    ...{ server, tunnel, host, curl },
    status: (path, ...args) => curl(path, "-o", "/dev/null", "-w", "%{http_code}", ...args),
    [Symbol.asyncDispose]: () => all.disposeAsync(),
  };
}

/** A target that answers with what it was asked, behind these options. */
async function publishEcho(options: HttpOptions): Promise<Site> {
  await using stack = new AsyncDisposableStack();
  const target = stack.use(await httpTarget(jsonEcho));
  const site = stack.use(await publish(target.address, { options }));
  const all = stack.move();
  return { ...site, [Symbol.asyncDispose]: () => all.disposeAsync() };
}

programTest("curl: basic auth lets in who has the password, and shows it to nobody", ["curl"], async () => {
  const [alice, rene] = await Promise.all([hashPassword("wonderland"), hashPassword("\u00a3100")]);
  await using site = await publishEcho({
    basicAuth: [{ user: "alice", hash: alice }, { user: "ren\u00e9", hash: rene }],
  });
  const right = ["-u", "alice:wonderland"];
  const echoed = JSON.parse(await site.curl("/x", ...right));
  assert.deepEqual([echoed.path, "authorization" in echoed.headers], ["/x", false]);
  assert.equal(await site.status("/", "-u", "ren\u00e9:\u00a3100"), "200");
  assert.equal(await site.status("/", ...right, "-d", "body"), "200");
  assert.match(
    await site.curl("/", "-i"),
    /^HTTP\/1\.1 401 [^]*\r\nWWW-Authenticate: Basic realm="[^"]+", charset="UTF-8"\r\n/,
  );
  for (const wrong of [["-u", "alice:wrong"], ["-u", "bob:wonderland"], ["-x", site.server.url("u:p@localhost", "")]]) {
    assert.equal(await site.status("/", ...wrong), "401", wrong.join(" "));
  }
  // What routes is what is checked (security R1): the other header neither helps nor harms.
  const wrongProxy = ["-H", `Proxy-Authorization: Basic ${btoa("alice:wrong")}`];
  const rightProxy = ["-H", `Proxy-Authorization: Basic ${btoa("alice:wonderland")}`];
  assert.equal(await site.status("/", ...right, ...wrongProxy), "200");
  assert.equal(await site.status("/", "-u", "alice:wrong", ...rightProxy), "401");
  assert.equal(await site.status("/", ...rightProxy), "401");
  assert.doesNotMatch(JSON.stringify([site.server.log.entries, site.tunnel.log.entries]), /wonderland|d29uZGVybGFuZ/);
});

Deno.test("an edit of the options counts for the next request on a connection that is there", async () => {
  const [before, after] = await Promise.all([hashPassword("before"), hashPassword("after")]);
  await using target = await httpTarget(jsonEcho);
  await using site = await publish(target.address, { options: { basicAuth: [{ user: "a", hash: before }] } });
  await using wire = await connectTcp(site.server.httpPort);
  const statusOf = async (password: string): Promise<number> => {
    const fields = { Authorization: `Basic ${btoa(`a:${password}`)}` };
    return (await request(0, { host: site.host, fields, wire })).status;
  };
  assert.deepEqual([await statusOf("before"), await statusOf("before")], [200, 200]);
  await site.tunnel.http(target.address, { options: { basicAuth: [{ user: "a", hash: after }] } });
  assert.deepEqual([await statusOf("before"), await statusOf("after")], [401, 200]);
  await site.tunnel.http(target.address, { options: { basicAuth: [] } });
  assert.equal(await statusOf("after"), 401);
  await site.tunnel.http(target.address);
  assert.equal(await statusOf("whatever"), 200);
});

Deno.test("a password hash that is broken closes its rule, and the others go on", async () => {
  await using server = await startServer();
  await using tunnel = await startTunnel(server);
  await tunnel.tunnel.stop();
  await using raw = await RawClient.dial(server.tlsPort, tunnel.identity);
  const { tunnel: { hostname } } = await raw.join();
  const domains = ["a", "b"].map((name) => `${name}.${hostname}`);
  const firewall: never[] = [];
  async function statesOf(revision: number, hash: string | undefined): Promise<unknown[]> {
    const options = hash === undefined ? {} : { options: { basicAuth: [{ user: "a", hash }] } };
    const rules = domains.map((domain, at) => ({
      ...{ kind: "http" as const, domain, target: "", firewall },
      ...(at === 0 ? options : {}),
    }));
    await raw.control.send({ kind: "rules", revision, rules });
    const { rules: states } = await raw.next("rules.applied");
    return states.map(({ state, code }) => code ?? state);
  }
  assert.deepEqual(await statesOf(1, undefined), ["active", "active"]);
  assert.deepEqual(await statesOf(2, "$scrypt$broken"), ["E4012", "active"]);
  assert.equal((await request(server.httpPort, { host: domains[0]! })).status, 404);
});

programTest("curl: redirects, with and without the path", ["curl"], async () => {
  await using site = await publishEcho({ redirect: { url: "https://new.example/docs", status: 308, keepPath: true } });
  const redirect = "%{http_code} %{redirect_url}";
  assert.equal(
    await site.curl("/x?y=1", "-o", "/dev/null", "-w", redirect, "-d", "body"),
    "308 https://new.example/docs/x?y=1",
  );
  await site.tunnel.http("1", { options: { redirect: { url: "https://new.example", status: 302 } } });
  assert.equal(await site.curl("/x", "-o", "/dev/null", "-w", redirect), "302 https://new.example/");
});

programTest("curl: prefixes and headers as the target and the visitor see them", ["curl"], async () => {
  await using site = await publishEcho({
    stripPrefix: "/app",
    addPrefix: "/v1",
    requestFields: { set: [["X-Role", "reader"]], remove: ["Cookie"] },
    responseFields: { set: [["X-Frame-Options", "DENY"]], remove: ["Content-Type"] },
  });
  const answer = await site.curl("/app/x?y", "-i", "-H", "X-Role: admin", "-H", "x_role: admin", "-b", "a=b");
  const [head = "", body = ""] = answer.split("\r\n\r\n");
  assert.match(head, /\r\nX-Frame-Options: DENY/);
  assert.doesNotMatch(head, /content-type/i);
  const { path, headers } = JSON.parse(body);
  assert.deepEqual([path, headers["x-role"], headers["x_role"], headers.cookie], [
    "/v1/x?y",
    "reader",
    undefined,
    undefined,
  ]);
  for (const path of ["/apple", "/", "/app/%2e%2e/secret"]) {
    assert.equal(await site.status(path, "--path-as-is"), "404");
  }
});

programTest("curl: a body larger than allowed is refused, however it is sent", ["curl"], async () => {
  // A body that is cut on its way is no fault of this test.
  await using target = await httpTarget(async (asked) => new Response(await asked.text().catch(() => "cut")));
  await using site = await publish(target.address, { options: { maxBodyBytes: 1000 } });
  const small = "x".repeat(1000);
  const chunked = ["-H", "Transfer-Encoding: chunked"];
  for (const way of [[], chunked]) {
    assert.equal(await site.curl("/", ...way, "-d", small), small);
    assert.equal(await site.status("/", ...way, "-d", `${small}x`), "413");
    assert.equal(await site.status("/", ...way, "-H", "Expect: 100-continue", "-d", `${small}x`), "413");
  }
});

programTest("nginx is told every visitor's own address by PROXY protocol", ["curl", "nginx"], async () => {
  await using folder = await tempDir();
  const port = await freePort();
  const config = await folder.write(
    "nginx.conf",
    `daemon off; ${Deno.uid() === 0 ? "user root;" : ""} worker_processes 1; pid nginx.pid; error_log stderr notice;
    events { worker_connections 256; }
    http {
      access_log off; default_type text/plain;
      client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi; uwsgi_temp_path uwsgi; scgi_temp_path scgi;
      server {
        listen 127.0.0.1:${port} proxy_protocol;
        location / {
          return 200 "$proxy_protocol_addr $proxy_protocol_port $proxy_protocol_server_port $connection_requests\\n";
        }
      }
    }`,
  );
  await using nginx = spawn("nginx", ["-p", folder.path, "-c", config]);
  await nginx.printed(/start worker process \d+/);
  await using site = await publish(`127.0.0.1:${port}`, { proxyProtocol: "v2" });
  const { host, server } = site;
  await using first = await connectTcp(server.httpPort, { from: "127.0.0.2" });
  await using second = await connectTcp(server.httpPort, { from: "127.0.0.3" });
  const seen = async (wire: Wire): Promise<string[]> => (await request(0, { host, wire })).text.trim().split(" ");
  const told = (wire: Wire, address: string, count: number): string[] => {
    return [address, `${wire.socket.localPort}`, `${port}`, `${count}`];
  };
  for (const count of [1, 2, 3]) {
    assert.deepEqual(await seen(first), told(first, "127.0.0.2", count));
    assert.deepEqual(await seen(second), told(second, "127.0.0.3", count));
  }
  assert.match(await site.curl("/"), /^127\.0\.0\.1 \d+ \d+ 1\n$/);
  // The header is no byte of a request: what is sent again after a closed connection has its own.
  assert.match(await site.curl("/", "-d", "body"), /^127\.0\.0\.1 \d+ \d+ 1\n$/);
});

Deno.test("a target that closes idle connections gets the next request with a header of its own, whatever its method", async () => {
  await using target = await tcpTarget(async (wire) => {
    const header = parseProxyHeader(await wire.readExactly(PROXY_HEADER_BYTES));
    const { text } = await readRequest(wire);
    const body = `${header.kind === "header" && header.source?.address} ${text}`;
    await wire.send(`HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\n\r\n${body}`);
  });
  await using site = await publish(target.address, { proxyProtocol: "v2" });
  await using wire = await connectTcp(site.server.httpPort, { from: "127.0.0.2" });
  for (let count = 0; count < 5; count++) {
    const { status, text } = await request(0, { host: site.host, method: "POST", body: `${count}`, wire });
    assert.deepEqual([status, text], [200, `127.0.0.2 ${count}`]);
  }
  assert.equal(target.connections.length, 5);
});

Deno.test("a TCP target gets the header as its first bytes, also when the visitor says nothing", async () => {
  await using target = await tcpTarget();
  await using server = await startServer();
  await using tunnel = await startTunnel(server);
  const { port } = await tunnel.tunnel.request("port.allocate", {});
  await tunnel.publish([{ kind: "tcp", port, target: target.address, proxyProtocol: "v2" }]);
  for (const from of ["127.0.0.2", "127.0.0.3"]) {
    await using visitor = await connectTcp(port, { from });
    const inside = await target.accept();
    const header = parseProxyHeader(await inside.readExactly(PROXY_HEADER_BYTES));
    assert.deepEqual(header, {
      kind: "header",
      source: { address: from, port: visitor.socket.localPort },
      length: PROXY_HEADER_BYTES,
    });
    await visitor.send("hello");
    assert.equal(await inside.readUntil("hello"), "hello");
  }
});
