import assert from "node:assert/strict";
import {
  connectTcp,
  eventually,
  httpTarget,
  jsonEcho,
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

const SMUGGLED = "GET /smuggled HTTP/1.1\r\nHost: HOST\r\n\r\n";

/** Requests that two programs could read differently. HOST stands for a host that leads to the target. */
const AMBIGUOUS: readonly (readonly [what: string, text: string])[] = [
  [
    "both framings",
    "POST / HTTP/1.1\r\nHost: HOST\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
  ],
  [
    "both framings, the other order",
    "POST / HTTP/1.1\r\nHost: HOST\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n",
  ],
  ["two lengths", "POST / HTTP/1.1\r\nHost: HOST\r\nContent-Length: 0\r\nContent-Length: 4\r\n\r\n"],
  ["two equal lengths", "POST / HTTP/1.1\r\nHost: HOST\r\nContent-Length: 0\r\nContent-Length: 0\r\n\r\n"],
  ["a list of lengths", "POST / HTTP/1.1\r\nHost: HOST\r\nContent-Length: 0, 0\r\n\r\n"],
  ["an empty length", "POST / HTTP/1.1\r\nHost: HOST\r\nContent-Length:\r\n\r\n"],
  ["a length with a sign", "POST / HTTP/1.1\r\nHost: HOST\r\nContent-Length: +0\r\n\r\n"],
  ["a negative length", "POST / HTTP/1.1\r\nHost: HOST\r\nContent-Length: -1\r\n\r\n"],
  ["a hexadecimal length", "POST / HTTP/1.1\r\nHost: HOST\r\nContent-Length: 0x0\r\n\r\n"],
  ["an octal length", "POST / HTTP/1.1\r\nHost: HOST\r\nContent-Length: 010\r\n\r\n"],
  ["a length beyond all numbers", `POST / HTTP/1.1\r\nHost: HOST\r\nContent-Length: ${"9".repeat(30)}\r\n\r\n`],
  ["an unknown coding", "POST / HTTP/1.1\r\nHost: HOST\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n"],
  ["identity", "POST / HTTP/1.1\r\nHost: HOST\r\nTransfer-Encoding: identity\r\n\r\n"],
  ["chunked twice", "POST / HTTP/1.1\r\nHost: HOST\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n"],
  ["chunked not last", "POST / HTTP/1.1\r\nHost: HOST\r\nTransfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n"],
  [
    "two codings",
    "POST / HTTP/1.1\r\nHost: HOST\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n",
  ],
  ["a coding with a vertical tab", "POST / HTTP/1.1\r\nHost: HOST\r\nTransfer-Encoding:\x0bchunked\r\n\r\n0\r\n\r\n"],
  [
    "a coding after a space before its colon",
    "POST / HTTP/1.1\r\nHost: HOST\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
  ],
  ["a coding in HTTP/1.0", "POST / HTTP/1.0\r\nHost: HOST\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"],
  ["a folded coding", "POST / HTTP/1.1\r\nHost: HOST\r\nTransfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n"],
  ["a folded field", "GET / HTTP/1.1\r\nHost: HOST\r\nX: a\r\n b\r\n\r\n"],
  ["a bare LF behind a field", "GET / HTTP/1.1\r\nHost: HOST\nX: a\r\n\r\n"],
  ["a bare LF behind the request line", "GET / HTTP/1.1\nHost: HOST\r\n\r\n"],
  ["a bare CR in a value", "GET / HTTP/1.1\r\nHost: HOST\r\nX: a\rb\r\n\r\n"],
  ["NUL in a value", "GET / HTTP/1.1\r\nHost: HOST\r\nX: a\0b\r\n\r\n"],
  ["an empty name", "GET / HTTP/1.1\r\nHost: HOST\r\n: a\r\n\r\n"],
  ["a name with a space", "GET / HTTP/1.1\r\nHost: HOST\r\nX Y: a\r\n\r\n"],
  ["a name with a quote", 'GET / HTTP/1.1\r\nHost: HOST\r\n"X": a\r\n\r\n'],
  ["a field without a colon", "GET / HTTP/1.1\r\nHost: HOST\r\nX\r\n\r\n"],
  ["no host", "GET / HTTP/1.1\r\n\r\n"],
  ["two hosts", "GET / HTTP/1.1\r\nHost: HOST\r\nHost: other.example\r\n\r\n"],
  ["two equal hosts", "GET / HTTP/1.1\r\nHost: HOST\r\nHost: HOST\r\n\r\n"],
  ["a list of hosts", "GET / HTTP/1.1\r\nHost: HOST, other.example\r\n\r\n"],
  ["a host with a user", "GET / HTTP/1.1\r\nHost: user@HOST\r\n\r\n"],
  ["a host with a path", "GET / HTTP/1.1\r\nHost: HOST/other\r\n\r\n"],
  ["a host with a wrong port", "GET / HTTP/1.1\r\nHost: HOST:port\r\n\r\n"],
  ["an absolute target for another host", "GET http://other.example/ HTTP/1.1\r\nHost: HOST\r\n\r\n"],
  ["an absolute target with a user", "GET http://user@HOST/ HTTP/1.1\r\nHost: HOST\r\n\r\n"],
  ["a target with a space", "GET /a b HTTP/1.1\r\nHost: HOST\r\n\r\n"],
  ["a target with a control character", "GET /a\x01b HTTP/1.1\r\nHost: HOST\r\n\r\n"],
  ["two spaces", "GET  / HTTP/1.1\r\nHost: HOST\r\n\r\n"],
  ["a version of nobody", "GET / HTTP/1.10\r\nHost: HOST\r\n\r\n"],
  ["no version", "GET /\r\nHost: HOST\r\n\r\n"],
  ["CONNECT with a body", "CONNECT HOST:80 HTTP/1.1\r\nHost: HOST:80\r\nContent-Length: 1\r\n\r\nx"],
];

/** Bodies in chunks that two programs could read differently, behind a good head. */
const AMBIGUOUS_CHUNKS: readonly (readonly [what: string, body: string])[] = [
  ["a bare LF behind a size", "1\nx\r\n0\r\n\r\n"],
  ["a bare LF behind the data", "1\r\nx\n0\r\n\r\n"],
  ["a size with a sign", "+1\r\nx\r\n0\r\n\r\n"],
  ["a size with a prefix", "0x1\r\nx\r\n0\r\n\r\n"],
  ["a size with a space in front", " 1\r\nx\r\n0\r\n\r\n"],
  ["an empty size", "\r\nx\r\n0\r\n\r\n"],
  ["a size beyond all numbers", "ffffffffffffffff1\r\nx\r\n0\r\n\r\n"],
  ["more data than its size", "1\r\nxy\r\n0\r\n\r\n"],
  ["less data than its size", "3\r\nx\r\n0\r\n\r\n"],
  ["a control character in an extension", "1;a=\x01\r\nx\r\n0\r\n\r\n"],
  ["an endless extension", `1;${"a".repeat(40_000)}\r\nx\r\n0\r\n\r\n`],
  ["a trailer without a colon", "0\r\nX\r\n\r\n"],
];

async function silentTarget(): Promise<TcpTarget> {
  return await tcpTarget();
}

Deno.test("ambiguous requests get 400 and a close, and nothing of them goes to a target", async (t) => {
  await using target = await silentTarget();
  await using server = await startServer();
  await using tunnel = await startTunnel(server, [{ kind: "http", target: target.address }]);
  for (const [what, text] of AMBIGUOUS) {
    await t.step(what, async () => {
      await using visitor = await connectTcp(server.httpPort);
      await visitor.send((text + SMUGGLED).replaceAll("HOST", tunnel.hostname));
      const response = await readResponse(visitor);
      assert.ok([400, 501, 505].includes(response.status), `${response.status}`);
      assert.equal(response.get("connection"), "close");
      assert.equal((await visitor.readToEnd()).text, "", "and no answer to what was behind it");
    });
  }
  assert.equal(target.connections.length, 0);
});

Deno.test("ambiguous chunks cut the request; nothing behind them becomes another one", async (t) => {
  await using target = await silentTarget();
  await using server = await startServer();
  await using tunnel = await startTunnel(server, [{ kind: "http", target: target.address }]);
  for (const [what, body] of AMBIGUOUS_CHUNKS) {
    await t.step(what, async () => {
      const before = target.connections.length;
      await using visitor = await connectTcp(server.httpPort);
      const head = `POST / HTTP/1.1\r\nHost: ${tunnel.hostname}\r\nTransfer-Encoding: chunked\r\n\r\n`;
      await visitor.send(head + body + SMUGGLED.replace("HOST", tunnel.hostname));
      const response = await readResponse(visitor);
      assert.equal(`${response.status} ${response.get("connection")}`, "400 close");
      // Whether the head was on its way before the body was looked at, is a matter of timing.
      for (const wire of target.connections.slice(before)) {
        const { text, end } = await wire.readToEnd();
        assert.doesNotMatch(text, /smuggled/);
        assert.equal(end, "reset");
      }
    });
  }
});

Deno.test("a target's ambiguous answer is a 502, and no other visitor is given a part of it", async (t) => {
  const answers: [what: string, text: string][] = [
    ["both framings", "HTTP/1.1 200 OK\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"],
    ["two lengths", "HTTP/1.1 200 OK\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\nabcd"],
    ["a bare LF", "HTTP/1.1 200 OK\nContent-Length: 0\r\n\r\n"],
    ["not HTTP", "220 mail.example ESMTP\r\n"],
    ["a status of two digits", "HTTP/1.1 20 OK\r\nContent-Length: 0\r\n\r\n"],
    [
      "an upgrade that nobody asked for",
      "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n",
    ],
    ["a name with a space", "HTTP/1.1 200 OK\r\nX Y: a\r\nContent-Length: 0\r\n\r\n"],
  ];
  await using server = await startServer();
  for (const [what, text] of answers) {
    await t.step(what, async () => {
      await using target = await tcpTarget(async (wire) => {
        await readRequest(wire);
        await wire.send(text);
        await wire.closed;
      });
      await using tunnel = await startTunnel(server, [{ kind: "http", target: target.address }]);
      const response = await request(server.httpPort, { host: tunnel.hostname });
      assert.equal(response.status, 502);
      assert.match(response.text, /E2008/);
    });
  }
  await t.step("more than its length", async () => {
    let extra = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison";
    await using target = await tcpTarget(async (wire) => {
      for (;;) {
        await readRequest(wire);
        await wire.send(`HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok${extra}`);
        extra = "";
      }
    });
    await using tunnel = await startTunnel(server, [{ kind: "http", target: target.address }]);
    for (let count = 0; count < 3; count++) {
      assert.equal((await request(server.httpPort, { host: tunnel.hostname })).text, "ok");
    }
  });
});

/** What the target was told by a request with these fields. */
async function told(
  { server, tunnel, from }: { server: TestServer; tunnel: TestTunnel; from?: string },
  lines: readonly string[],
): Promise<{ headers: Record<string, string> }> {
  await using visitor = await connectTcp(server.httpPort, from === undefined ? {} : { from });
  await visitor.send(
    `GET / HTTP/1.1\r\nHost: ${tunnel.hostname}\r\n${lines.map((line) => `${line}\r\n`).join("")}\r\n`,
  );
  return JSON.parse((await readResponse(visitor)).text);
}

Deno.test("a visitor cannot say who it is, in whatever spelling, nor take away what we say (R41)", async () => {
  await using target = await httpTarget(jsonEcho);
  await using server = await startServer();
  await using tunnel = await startTunnel(server, [{ kind: "http", target: target.address }]);
  const names = [
    ...["Forwarded", "X-Forwarded-For", "x_forwarded_for", "X-FORWARDED-PROTO", "X-Forwarded-Host", "X-Forwarded"],
    ...["X-Forwarded-Port", "X-Forwarded-Server", "X-Real-IP", "x_real_ip", "X-Client-IP", "X_Client_IP", "Client-IP"],
    ...["CF-Connecting-IP", "cf_connecting_ip", "True-Client-IP", "Remote-User", "remote_user", "X-Cluster-Client-IP"],
    ...["Proxy", "X-Original-Host", "X-ProxyUser-Ip", "Fastly-Client-IP", "X-Remote-User"],
  ];
  const { headers } = await told({ server, tunnel }, names.map((name) => `${name}: spoofed`));
  assert.deepEqual(Object.entries(headers).filter(([, value]) => value.includes("spoofed")), []);
  assert.equal(headers["x-forwarded-for"], "127.0.0.1");
  assert.equal(headers["x-forwarded-proto"], "http");
  assert.equal(headers["x-forwarded-host"], tunnel.hostname);
  assert.equal(headers["forwarded"], `for=127.0.0.1;host=${tunnel.hostname};proto=http`);
  const nominated = await told({ server, tunnel }, [
    "Connection: X-Forwarded-For, X-Forwarded-Host, X-Forwarded-Proto, Forwarded, Host, Cookie, Authorization, X-Mine",
    "X-Mine: hop",
    "Cookie: a=b",
    "Authorization: Basic eDp5",
  ]);
  assert.equal(nominated.headers["x-forwarded-for"], "127.0.0.1");
  assert.equal(nominated.headers["host"], tunnel.hostname);
  assert.equal(nominated.headers["cookie"], "a=b");
  assert.equal(nominated.headers["authorization"], "Basic eDp5");
  assert.equal(nominated.headers["x-mine"], undefined);
});

Deno.test("only a listed proxy is believed, from the right, up to the first that is not one", async () => {
  await using target = await httpTarget(jsonEcho);
  await using server = await startServer({ trustedProxies: ["127.0.0.9", "10.0.0.0/8"] });
  await using tunnel = await startTunnel(server, [{ kind: "http", target: target.address }]);
  const cases: [from: string, forwarded: string, address: string][] = [
    ["127.0.0.9", "203.0.113.7", "203.0.113.7"],
    ["127.0.0.9", "192.0.2.66, 203.0.113.7, 10.1.2.3", "203.0.113.7"],
    ["127.0.0.9", "192.0.2.66, nonsense, 10.1.2.3", "10.1.2.3"],
    ["127.0.0.9", "[2001:db8::1]:443", "2001:db8::1"],
    ["127.0.0.1", "203.0.113.7", "127.0.0.1"],
  ];
  for (const [from, forwarded, address] of cases) {
    const { headers } = await told({ server, tunnel, from }, [`X-Forwarded-For: ${forwarded}`]);
    assert.equal(headers["x-forwarded-for"], address, forwarded);
  }
});

Deno.test("an upgrade to HTTP/2 is never forwarded, nor what belongs to one hop (R3)", async () => {
  await using target = await tcpTarget();
  await using server = await startServer();
  await using tunnel = await startTunnel(server, [{ kind: "http", target: target.address }]);
  await using visitor = await connectTcp(server.httpPort);
  await visitor.send(
    `GET / HTTP/1.1\r\nHost: ${tunnel.hostname}\r\nConnection: Upgrade, HTTP2-Settings, keep-alive\r\nUpgrade: h2c\r\n` +
      "HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\nKeep-Alive: timeout=5\r\nProxy-Connection: keep-alive\r\n" +
      "Proxy-Authorization: Basic eDp5\r\nTE: gzip\r\n\r\n",
  );
  const { head } = await readRequest(await target.accept());
  assert.doesNotMatch(head, /upgrade|h2c|http2|keep-alive|proxy-|gzip/i);
});

Deno.test("a connection that was upgraded never carries another request (R44)", async () => {
  await using target = await tcpTarget();
  await using server = await startServer();
  await using tunnel = await startTunnel(server, [{ kind: "http", target: target.address }]);
  await using first = await connectTcp(server.httpPort);
  await first.send(`GET / HTTP/1.1\r\nHost: ${tunnel.hostname}\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n`);
  const upgraded = await target.accept();
  await readRequest(upgraded);
  await upgraded.send("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n");
  await first.readUntil("\r\n\r\n");
  await first.endWrite();
  await upgraded.endWrite();
  assert.equal((await first.readToEnd()).end, "end");
  const answered = request(server.httpPort, { host: tunnel.hostname });
  const fresh = await target.accept();
  await readRequest(fresh);
  await fresh.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
  assert.equal((await answered).text, "ok");
  assert.equal((await upgraded.readToEnd()).text, "");
});

Deno.test("error pages show nothing of the request unescaped, whatever form is asked for", async () => {
  await using server = await startServer();
  const evil = `<script>alert(1)</script>"'&`;
  const requests = [
    `GET /${evil.replaceAll(/[ "]/g, "")} HTTP/1.1\r\nHost: nobody.tunnels.localhost\r\n\r\n`,
    `GET / HTTP/1.1\r\nHost: ${evil}\r\n\r\n`,
    `GET / HTTP/1.1\r\nHost: nobody.tunnels.localhost\r\nReferer: ${evil}\r\nUser-Agent: ${evil}\r\n\r\n`,
    `GET / HTTP/1.1\r\nHost: nobody.tunnels.localhost\r\nAccept: ${evil}\r\n\r\n`,
    `GET http://${evil.replaceAll(/[ "]/g, "")}/ HTTP/1.1\r\nHost: x\r\n\r\n`,
    `GET / HTTP/1.1\r\nHost: x\r\n${evil}: y\r\n\r\n`,
    `${evil} / HTTP/1.1\r\nHost: x\r\n\r\n`,
  ];
  for (const text of requests) {
    for (const accept of ["text/html", "application/json"]) {
      await using visitor = await connectTcp(server.httpPort);
      await visitor.send(text.replace("\r\n\r\n", `\r\nAccept: ${accept}\r\n\r\n`));
      const response = await readResponse(visitor);
      assert.ok(response.status >= 400);
      const type = response.get("content-type") ?? "";
      if (type.startsWith("text/html")) assert.doesNotMatch(response.text, /<script>|"'&[^a#]/);
      else assert.equal(typeof JSON.parse(response.text).code, "string");
      assert.equal(response.get("x-content-type-options"), "nosniff");
      assert.match(response.get("content-security-policy") ?? "", /^default-src 'none'/);
      assert.equal(response.get("cache-control"), "no-store");
      assert.doesNotMatch(response.head, /script/);
    }
  }
});

Deno.test("one host in all its spellings leads to one tunnel, and a look-alike to none (R42, R55)", async () => {
  await using server = await startServer();
  await using tunnel = await startTunnel(server);
  await tunnel.http(() => new Response("ok"));
  const label = tunnel.hostname.split(".")[0]!;
  const good = [
    tunnel.hostname.toUpperCase(),
    `${tunnel.hostname}.`,
    `${tunnel.hostname}:${server.httpPort}`,
    `${tunnel.hostname.toUpperCase()}.:80`,
    `WWW.${tunnel.hostname}`,
  ];
  for (const host of good) assert.equal((await request(server.httpPort, { host })).text, "ok", host);
  const bad: [host: string, status: number][] = [
    [`${tunnel.hostname}..`, 400],
    [`${label}%2etunnels.localhost`, 400],
    [`${label}\u3002tunnels.localhost`.replace("\u3002", "\xe3\x80\x82"), 400],
    [`x${tunnel.hostname}`, 404],
    [`${tunnel.hostname}.evil.example`, 404],
    [`xn--${label}-.tunnels.localhost`, 400],
    ["localhost", 404],
    ["[::1]", 404],
    ["127.0.0.1", 404],
    ["__proto__", 400],
    ["constructor", 404],
  ];
  for (const [host, status] of bad) assert.equal((await request(server.httpPort, { host })).status, status, host);
});

Deno.test("fields named like properties of objects are fields like any other (R53)", async () => {
  await using target = await httpTarget(jsonEcho);
  await using server = await startServer();
  await using tunnel = await startTunnel(server, [{ kind: "http", target: target.address }]);
  const names = ["constructor", "toString", "hasOwnProperty", "__proto__", "valueOf"];
  const { headers } = await told({ server, tunnel }, names.map((name) => `${name}: ${name}`));
  for (const name of names) {
    const own = Object.getOwnPropertyDescriptor(headers, name.toLowerCase());
    if (name !== "__proto__") assert.equal(own?.value, name);
  }
  for (const path of ["/__proto__", "/?__proto__[a]=1", "/constructor/prototype"]) {
    assert.equal((await request(server.httpPort, { host: tunnel.hostname, path })).status, 200);
  }
  assert.equal(({} as Record<string, unknown>)["a"], undefined);
});

Deno.test("the admin listener cannot be reached through the edge, nor by a page that rebinds its name (R49)", async () => {
  await using server = await startServer();
  await using tunnel = await startTunnel(server);
  const admin = `127.0.0.1:${server.adminPort}`;
  const attempts = [
    requestText({ host: admin, path: "/metrics" }),
    `GET http://${admin}/metrics HTTP/1.1\r\nHost: ${admin}\r\n\r\n`,
    `CONNECT ${admin} HTTP/1.1\r\nHost: ${admin}\r\n\r\n`,
    requestText({ host: "localhost", path: "/healthz" }),
    requestText({ host: tunnel.hostname, path: "/metrics" }),
    requestText({ host: `admin.${server.domain}`, path: "/metrics" }),
  ];
  for (const text of attempts) {
    await using visitor = await connectTcp(server.httpPort);
    await visitor.send(text);
    const { status, text: body } = await readResponse(visitor);
    assert.ok(status >= 400 || text.includes(tunnel.hostname), text);
    assert.doesNotMatch(body, /spokes_sessions|^ok\n/);
  }
  for (
    const [host, path, status] of [
      [admin, "/healthz", 200],
      ["localhost", "/metrics", 200],
      [`[::1]:${server.adminPort}`, "/healthz", 200],
      ["evil.example", "/metrics", 421],
      ["127.0.0.1.evil.example", "/metrics", 421],
      [admin, "/", 404],
      [admin, "/debug/pprof", 404],
      [admin, "/metrics/../env", 404],
    ] as const
  ) {
    assert.equal((await request(server.adminPort, { host, path })).status, status, `${host} ${path}`);
  }
});

Deno.test("bodies that nobody reads to the end are not read to the end (R46)", async () => {
  await using server = await startServer();
  await using visitor = await connectTcp(server.httpPort);
  await visitor.send("POST / HTTP/1.1\r\nHost: nobody.tunnels.localhost\r\nContent-Length: 1000000000000\r\n\r\n");
  const response = await readResponse(visitor);
  assert.equal(`${response.status} ${response.get("connection")}`, "404 close");
  const piece = new Uint8Array(1024 * 1024);
  let sent = 0;
  try {
    for (; sent < 256; sent++) await visitor.send(piece);
  } catch {
    // The edge has closed the connection on us, as it should.
  }
  assert.ok(sent < 256);
});

Deno.test("visitors that do not read cost a bounded number of bytes each (P9)", async () => {
  const piece = new Uint8Array(64 * 1024);
  const taken: number[] = [];
  await using target = await tcpTarget(async (wire, index) => {
    await wire.next();
    try {
      for (taken[index] = 0;; taken[index] += piece.length) await wire.send(piece);
    } catch {
      // The visitor has gone.
    }
  });
  await using server = await startServer();
  await using tunnel = await startTunnel(server);
  const port = await tunnel.tcp(target.address);
  const before = Deno.memoryUsage().external;
  await using stack = new AsyncDisposableStack();
  const count = 20;
  for (let at = 0; at < count; at++) {
    const visitor = stack.use(await connectTcp(port));
    visitor.socket.pause();
    await visitor.send("go");
  }
  const total = (): number => taken.reduce((sum, bytes) => sum + bytes, 0);
  await eventually(() => taken.filter((bytes) => bytes > 0).length === count, "all to be sent something");
  await eventually(async () => {
    const bytes = total();
    await new Promise((resolve) => setTimeout(resolve, 300));
    return total() === bytes;
  }, "the targets to be held back");
  // Nearly all of it is in the kernel's buffers of three connections.
  assert.ok(total() / count < 32 * 1024 * 1024, `${total() / count} bytes of each were taken`);
  const held = (Deno.memoryUsage().external - before) / count;
  assert.ok(held < 8 * 1024 * 1024, `${held} bytes are held for each, garbage included`);
});
