import assert from "node:assert/strict";
import { join } from "node:path";
import type { ClientHttpRule, RuleState } from "../mod.ts";
import { PEBBLE_PROGRAMS, startPebble } from "../net/acme/testing/pebble.ts";
import {
  connectTcp,
  eventually,
  fill,
  freePort,
  httpTarget,
  jsonEcho,
  programTest,
  readRequest,
  readResponse,
  request,
  requestText,
  run,
  type ServerSetup,
  sha256,
  spawn,
  spawnSpokes,
  startServer,
  startTunnel,
  tcpTarget,
  type TempDir,
  tempDir,
  type TestServer,
  type TestTunnel,
  within,
} from "./harness.ts";
import {
  type CertificateFolder,
  certificateFolder,
  certificateShown,
  connectTls,
  helloFor,
  sClient,
} from "./harness/tls.ts";

const MEBIBYTE = 1024 * 1024;
const TRANSFER_BYTES = 50 * MEBIBYTE;
const DOMAIN = "tunnels.localhost";
/** Fatal alerts, as they are on the wire (RFC 8446 6). */
const ALERT = { decodeError: "15 03 03 00 02 02 32", unrecognizedName: "15 03 03 00 02 02 70" };

/** A server that ends TLS for the names of its domain, and a tunnel of it. */
interface Setup extends AsyncDisposable {
  readonly server: TestServer;
  readonly tunnel: TestTunnel;
  readonly host: string;
  readonly certificates: CertificateFolder;
  readonly folder: TempDir;
  /** File and PEM of the authority that signed the wildcard. */
  readonly ca: { readonly file: string; readonly pem: string };
  /** Runs curl on a path of the tunnel's name over HTTPS, and gives what it printed. */
  curl(path: string, ...args: string[]): Promise<string>;
}

async function setUp(target?: ClientHttpRule["target"], options: ServerSetup = {}): Promise<Setup> {
  await using stack = new AsyncDisposableStack();
  const folder = stack.use(await tempDir());
  const certificates = stack.use(await certificateFolder());
  const { pem, authorityFile } = await certificates.put("wildcard.pem", `*.${DOMAIN}`);
  const server = stack.use(await startServer({ certificatesDir: certificates.path, ...options }));
  const tunnel = stack.use(await startTunnel(server, target === undefined ? [] : [{ kind: "http", target }]));
  const all = stack.move();
  const host = tunnel.hostname;
  return {
    ...{ server, tunnel, host, certificates, folder, ca: { file: authorityFile, pem: pem.authority } },
    curl: (path, ...args) => curl(server, host, ["--cacert", authorityFile, ...args, `https://${host}${path}`]),
    [Symbol.asyncDispose]: () => all.disposeAsync(),
  };
}

/** Runs curl, for which a name is at the server's TLS port. */
async function curl(server: TestServer, host: string, args: readonly string[]): Promise<string> {
  const fixed = ["-sS", "--max-time", "60", "--connect-to", `${host}:443:127.0.0.1:${server.tlsPort}`];
  const { code, stdout, stderr } = await run("curl", [...fixed, ...args]);
  assert.equal(code, 0, `curl ${args.join(" ")}: ${stderr}`);
  return stdout;
}

programTest("curl: HTTPS to an assigned name and to a sub-domain with a rule of its own", ["curl"], async () => {
  await using target = await httpTarget(jsonEcho);
  await using setup = await setUp(target.address);
  const { server, tunnel, host, certificates } = setup;
  const seen = JSON.parse(await setup.curl("/a?b=c", "-d", "body", "-H", "X-Forwarded-Proto: gopher"));
  assert.deepEqual([seen.method, seen.path, seen.body], ["POST", "/a?b=c", "body"]);
  const { headers } = seen;
  assert.deepEqual([headers["x-forwarded-proto"], headers["x-forwarded-for"], headers["host"]], [
    "https",
    "127.0.0.1",
    host,
  ]);
  assert.equal(headers["forwarded"], `for=127.0.0.1;host=${host};proto=https`);
  // A wildcard stands for one label: what is below an assigned name needs one of its own.
  const below = `www.${host}`;
  await tunnel.http(() => new Response("below"), { domain: below });
  await assert.rejects(certificateShown(server.tlsPort, below));
  const { authorityFile } = await certificates.put("below.pem", `*.${host}`);
  await eventually(() => certificateShown(server.tlsPort, below).catch(() => false), "the certificate to be taken");
  assert.equal(await curl(server, below, ["--cacert", authorityFile, `https://${below}/`]), "below");
  assert.match(await setup.curl("/"), /"path":"\/"/, "the name above goes on");
  assert.equal(tunnel.events.filter(({ kind }) => kind === "disconnected").length, 0);
});

programTest("curl: connections are kept, bodies come in chunks, HTTP/1.1 is what ALPN gives", ["curl"], async () => {
  await using target = await httpTarget(async (asked) => {
    const body = await asked.text();
    return new Response(new Blob([`${body.length} ${asked.headers.get("transfer-encoding") ?? "length"}`]).stream());
  });
  await using setup = await setUp(target.address);
  const { host, curl } = setup;
  const file = await setup.folder.write("body", "x".repeat(100_000));
  const each = [
    ...["-sS", "--max-time", "60", "--cacert", setup.ca.file, "-w", " %{num_connects} %{http_version}\n"],
    ...["--connect-to", `${host}:443:127.0.0.1:${setup.server.tlsPort}`, `https://${host}/`],
  ];
  const chunked = ["-H", "Transfer-Encoding: chunked", "-H", "Expect:", "-T", file];
  const { stdout, stderr } = await run("curl", [...each, ...chunked, "--next", ...each, "--next", ...each, "-T", file]);
  assert.equal(stdout, "100000 chunked 1 1.1\n0 length 0 1.1\n100000 length 0 1.1\n", stderr);
  assert.match(await curl("/", "-i"), /\r\nTransfer-Encoding: chunked\r\n/i);
  assert.equal(await curl("/", "--http2", "-o", "/dev/null", "-w", "%{http_version} %{http_code}"), "1.1 200");
});

programTest("curl: 50 MiB down and up arrive unchanged", ["curl"], async () => {
  const bytes = fill(TRANSFER_BYTES);
  const expected = sha256(bytes);
  await using target = await httpTarget(async (asked) => {
    if (asked.method === "GET") return new Response(bytes);
    return new Response(sha256(new Uint8Array(await asked.arrayBuffer())));
  });
  await using setup = await setUp(target.address);
  const down = join(setup.folder.path, "down");
  await setup.curl("/", "-o", down);
  assert.equal(sha256(await Deno.readFile(down)), expected);
  assert.equal(await setup.curl("/", "-T", down), expected);
});

Deno.test("a WebSocket goes through", async () => {
  await using target = await tcpTarget(async (wire) => {
    const { get } = await readRequest(wire);
    assert.deepEqual([get("upgrade"), get("x-forwarded-proto")], ["websocket", "https"]);
    await wire.send("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n");
    for (let bytes = await wire.next(); bytes !== null; bytes = await wire.next()) await wire.send(bytes);
  });
  await using setup = await setUp(target.address);
  await using wire = await connectTls(setup.server.tlsPort, { servername: setup.host, ca: setup.ca.pem });
  const fields = { Upgrade: "websocket", Connection: "Upgrade", "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==" };
  await wire.send(requestText({ host: setup.host, fields }));
  assert.equal((await readResponse(wire)).status, 101);
  const bytes = fill(3 * MEBIBYTE);
  const sending = wire.send(bytes);
  assert.equal(sha256(await wire.readExactly(bytes.length)), sha256(bytes));
  await sending;
});

programTest(
  "openssl: http/1.1 is chosen by ALPN, and who speaks only HTTP/2 is told that nobody does",
  ["openssl"],
  async () => {
    await using setup = await setUp(() => new Response("ok"));
    const { server: { tlsPort }, host, ca } = setup;
    const args = ["-servername", host, "-CAfile", ca.file, "-verify_return_error"];
    const both = await sClient(tlsPort, ...args, "-alpn", "h2,http/1.1");
    assert.match(both, /ALPN protocol: http\/1\.1/);
    assert.match(both, /Verify return code: 0 \(ok\)/);
    assert.match(await sClient(tlsPort, ...args), /No ALPN negotiated/);
    const onlyH2 = await sClient(tlsPort, ...args, "-alpn", "h2");
    assert.doesNotMatch(onlyH2, /ALPN protocol: h2/);
    assert.match(onlyH2, /alert no application protocol/);
    for (const [version, works] of [["-tls1_2", true], ["-tls1_3", true], ["-tls1_1", false]] as const) {
      const text = await sClient(tlsPort, ...args, version, "-cipher", "DEFAULT@SECLEVEL=0");
      assert.equal(
        /Verify return code: 0/.test(text) && /Cipher is (?!\(NONE\))/.test(text),
        works,
        `${version}: ${text}`,
      );
    }
  },
);

Deno.test("a request for another name than TLS was opened for gets 421, and the connection goes on", async () => {
  await using target = await tcpTarget();
  await using setup = await setUp(target.address);
  const { server, host, ca } = setup;
  await using other = await startTunnel(server, [{ kind: "http", target: () => new Response("other") }]);
  await using wire = await connectTls(server.tlsPort, { servername: host, ca: ca.pem });
  for (const wrong of [other.hostname, `www.${host}`, DOMAIN, "nobody.example", "127.0.0.1"]) {
    const { status, text } = await request(0, { host: wrong, wire });
    assert.equal(status, 421, wrong);
    assert.match(text, /E1421/);
  }
  assert.deepEqual(target.connections, []);
  // The port, the case and a dot at the end make no other name.
  for (const right of [`${host}:${server.tlsPort}`, host.toUpperCase(), `${host}.`]) {
    const answered = request(0, { host: right, wire });
    const inside = target.connections[0] ?? await target.accept();
    await readRequest(inside);
    await inside.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    assert.equal((await answered).text, "ok");
  }
});

Deno.test("no name, an unknown one, garbage: an alert each, nothing for the tunnel, others are served", async () => {
  await using target = await tcpTarget();
  await using setup = await setUp(target.address);
  const { server: { tlsPort }, server, host, ca } = setup;
  async function told(...pieces: Uint8Array[]): Promise<string> {
    await using wire = await connectTcp(tlsPort);
    for (const piece of pieces) {
      await wire.send(piece);
      if (pieces.length > 1) await new Promise((resolve) => setTimeout(resolve, 0));
    }
    const { bytes, end } = await wire.readToEnd();
    assert.equal(end, "end");
    return [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join(" ");
  }
  const encoder = new TextEncoder();
  const bytewise = (bytes: Uint8Array): Uint8Array[] => Array.from(bytes, (byte) => Uint8Array.of(byte));
  await using waiting = await connectTcp(tlsPort);
  await waiting.send((await helloFor(host)).subarray(0, 70));
  // A client asked for an address sends no name.
  assert.equal(await told(await helloFor("")), ALERT.unrecognizedName);
  for (const name of ["nobody.example", `a.b.${DOMAIN}`, "xn--nobody", `nobody.${DOMAIN}`]) {
    assert.equal(await told(await helloFor(name)), ALERT.unrecognizedName, name);
  }
  assert.equal(await told(...bytewise(await helloFor("nobody.example"))), ALERT.unrecognizedName);
  assert.equal(await told(encoder.encode("GET / HTTP/1.1\r\n\r\n")), ALERT.decodeError);
  assert.equal(await told(Uint8Array.of(22, 3, 1, 0, 5, 2, 0, 0, 1, 0)), ALERT.decodeError);
  assert.equal(await told(encoder.encode("PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n")), ALERT.decodeError);
  assert.deepEqual(target.connections, []);
  await using wire = await connectTls(tlsPort, { servername: host, ca: ca.pem });
  const answered = request(0, { host, wire });
  const inside = await target.accept();
  await readRequest(inside);
  await inside.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
  assert.equal((await answered).text, "ok");
  await using _tunnel = await startTunnel(server);
});

Deno.test("a hello that comes byte by byte is served like any other", async () => {
  await using setup = await setUp(() => new Response("ok"));
  const { server, host, ca } = setup;
  // Between the two: every byte of the visitor in a write of its own.
  await using splitter = await tcpTarget(async (wire) => {
    await using edge = await connectTcp(server.tlsPort);
    const back = (async () => {
      for (let bytes = await edge.next(); bytes !== null; bytes = await edge.next()) await wire.send(bytes);
    })().catch(() => {
      // The visitor has left.
    });
    for (let bytes = await wire.next(); bytes !== null; bytes = await wire.next()) {
      for (const byte of bytes) {
        await edge.send(Uint8Array.of(byte));
        await new Promise((resolve) => setImmediate(resolve));
      }
    }
    await edge.endWrite();
    await back;
  });
  await using wire = await connectTls(splitter.port, { servername: host, ca: ca.pem });
  assert.equal((await request(0, { host, wire })).text, "ok");
});

Deno.test("who stalls in its hello or in its handshake is cut, and others are served meanwhile", async () => {
  await using target = await tcpTarget();
  await using setup = await setUp(target.address, { limits: { tlsHandshakeMs: 1_000 } });
  const { server, host, ca, tunnel } = setup;
  const hello = await helloFor(host);
  const lengths = [0, 1, 5, 60, hello.length - 1, hello.length];
  const stalled = await Promise.all(lengths.map(async (length) => {
    const wire = await connectTcp(server.tlsPort);
    if (length > 0) await wire.send(hello.subarray(0, length));
    return wire;
  }));
  await tunnel.http(() => new Response("served"));
  await using wire = await connectTls(server.tlsPort, { servername: host, ca: ca.pem });
  assert.equal((await request(0, { host, wire })).text, "served");
  await using _other = await startTunnel(server);
  for (const wire of stalled) {
    assert.equal((await wire.readToEnd()).end, "reset");
    await wire[Symbol.asyncDispose]();
  }
  assert.deepEqual(target.connections, []);
});

programTest(
  "curl: over HTTPS too a tunnel that is away is a 503 page, and a name nobody has no certificate",
  ["curl"],
  async () => {
    await using setup = await setUp(() => new Response("here"));
    const { server, tunnel, host } = setup;
    assert.equal(await setup.curl("/"), "here");
    await tunnel.tunnel.stop();
    const format = ["-w", "\n%{http_code} %{ssl_verify_result}"];
    await eventually(async () => (await setup.curl("/", ...format)).endsWith("503 0"), "the tunnel to be away");
    assert.match(await setup.curl("/"), /E1503/);
    assert.equal(JSON.parse(await setup.curl("/", "-H", "Accept: application/json")).code, "E1503");
    await assert.rejects(certificateShown(server.tlsPort, `nobody.${DOMAIN}`));
    await using again = await startTunnel(server, [{ kind: "http", target: () => new Response("again") }], {
      identity: tunnel.identity,
    });
    assert.equal(again.hostname, host);
    assert.equal(await setup.curl("/"), "again");
  },
);

Deno.test("a certificate is changed in the folder while a download runs: that goes on, new visitors see the new one", async () => {
  const bytes = fill(8 * MEBIBYTE);
  await using target = await tcpTarget();
  await using setup = await setUp(target.address);
  const { server, host, ca, certificates, tunnel } = setup;
  const before = await certificateShown(server.tlsPort, host);
  await using wire = await connectTls(server.tlsPort, { servername: host, ca: ca.pem });
  await wire.send(requestText({ host }));
  const inside = await target.accept();
  await readRequest(inside);
  await inside.send(`HTTP/1.1 200 OK\r\nContent-Length: ${bytes.length}\r\n\r\n`);
  await inside.send(bytes.subarray(0, MEBIBYTE));
  await wire.readUntil("\r\n\r\n");
  const first = await wire.readExactly(MEBIBYTE);
  const { pem } = await certificates.put("wildcard.pem", `*.${DOMAIN}`);
  await eventually(async () => await certificateShown(server.tlsPort, host) !== before, "the new certificate");
  await assert.rejects(connectTls(server.tlsPort, { servername: host, ca: ca.pem }), "the old authority");
  const sending = inside.send(bytes.subarray(MEBIBYTE));
  const rest = await wire.readExactly(bytes.length - MEBIBYTE);
  await sending;
  assert.deepEqual([sha256(first), sha256(rest)], [
    sha256(bytes.subarray(0, MEBIBYTE)),
    sha256(bytes.subarray(MEBIBYTE)),
  ]);
  // The same connection serves another request, and a new one those that trust the new authority.
  for (const visitor of [wire, await connectTls(server.tlsPort, { servername: host, ca: pem.authority })]) {
    const answered = request(0, { host, wire: visitor });
    await readRequest(inside);
    await inside.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    assert.equal((await answered).text, "ok");
    await visitor[Symbol.asyncDispose]();
  }
  assert.equal(tunnel.events.filter(({ kind }) => kind === "disconnected").length, 0);
});

Deno.test("a rule whose TLS ends at the server serves plain HTTP without a certificate, and HTTPS while there is one", async () => {
  await using certificates = await certificateFolder();
  await using server = await startServer({
    certificatesDir: certificates.path,
    domains: { withoutProof: ["shop.example"] },
  });
  await using tunnel = await startTunnel(server);
  const name = "www.shop.example";
  const rules: ClientHttpRule[] = [
    { kind: "http", target: () => new Response("plain") },
    { kind: "http", domain: name, target: () => new Response("secure"), tls: { end: "server" } },
  ];
  /** The same whatever came before: the rule is there, and says what is amiss. */
  async function assertWithout(states: readonly RuleState[]): Promise<void> {
    assert.deepEqual(states.map(({ state, code }) => [state, code]), [["active", undefined], ["active", "E6008"]]);
    assert.match(states[1]?.message ?? "", /no certificate for "www\.shop\.example"/);
    assert.equal((await request(server.httpPort, { host: tunnel.hostname })).text, "plain");
    assert.equal((await request(server.httpPort, { host: name })).text, "secure");
    await assert.rejects(certificateShown(server.tlsPort, name));
  }
  async function changed(from: number): Promise<RuleState | undefined> {
    const event = await eventually(
      () => tunnel.events.slice(from).find((each) => each.kind === "rules"),
      "the rule's owner to be told",
    );
    return event.kind === "rules" ? event.states.find(({ id }) => id === `http/${name}`) : undefined;
  }
  await assertWithout(await tunnel.tunnel.setRules(rules));
  // The command that would write such a rule is told before.
  const rule = { kind: "http", domain: name, target: "", tls: "server" } as const;
  await assert.rejects(tunnel.tunnel.request("rule.check", { rule }), { kind: "CERTIFICATE_MISSING" });
  const from = tunnel.events.length;
  const { pem } = await certificates.put("shop.pem", "*.shop.example");
  const opened = await changed(from);
  assert.deepEqual([opened?.state, opened?.code, opened?.address], [
    ...["active", undefined, `https://${name}:${server.tlsPort}`],
  ]);
  await using wire = await connectTls(server.tlsPort, { servername: name, ca: pem.authority });
  assert.equal((await request(0, { host: name, wire })).text, "secure");
  // When the operator takes it out, who is here goes on, and the owner is told why nobody else comes.
  const later = tunnel.events.length;
  await Deno.remove(join(certificates.path, "shop.pem"));
  assert.equal((await changed(later))?.code, "E6008");
  assert.equal((await request(0, { host: name, wire })).text, "secure");
  // An edit, or another session, finds the same.
  await assertWithout(await tunnel.tunnel.setRules([...rules].map((each) => ({ ...each, hostHeader: "x" }))));
  await tunnel.tunnel.stop();
  await using again = await startTunnel(server, rules, { identity: tunnel.identity });
  await assertWithout(again.states);
});

programTest("openssl: a session that is resumed for another name is served as that one, never as the first", [
  "openssl",
], async () => {
  await using setup = await setUp(() => new Response("first"));
  const { server, host, folder } = setup;
  await using other = await startTunnel(server, [{ kind: "http", target: () => new Response("other") }]);
  const ticket = join(folder.path, "ticket");
  for (const version of ["-tls1_2", "-tls1_3"]) {
    const ask = (name: string, wanted: string, ...args: string[]) =>
      run("openssl", [
        ...["s_client", "-connect", `127.0.0.1:${server.tlsPort}`, "-servername", name, version, "-ign_eof", ...args],
      ], { stdin: requestText({ host: wanted, fields: { Connection: "close" } }) });
    assert.match((await ask(host, host, "-sess_out", ticket)).stdout, /first/);
    assert.match((await ask(other.hostname, host, "-sess_in", ticket)).stdout, /HTTP\/1\.1 421/);
    assert.match((await ask(other.hostname, other.hostname, "-sess_in", ticket)).stdout, /other/);
  }
});

Deno.test("a server that stops lets a download over HTTPS end, and meanwhile takes channels but no visitors", async () => {
  await using target = await tcpTarget();
  await using setup = await setUp(target.address, { limits: { firstByteMs: 3_600_000 } });
  const { server, host, ca, tunnel } = setup;
  const bytes = fill(4 * MEBIBYTE);
  await using wire = await connectTls(server.tlsPort, { servername: host, ca: ca.pem });
  await wire.send(requestText({ host }));
  const inside = await target.accept();
  await readRequest(inside);
  await inside.send(`HTTP/1.1 200 OK\r\nContent-Length: ${bytes.length}\r\n\r\n`);
  await wire.readUntil("\r\n\r\n");
  await using idle = await connectTls(server.tlsPort, { servername: host, ca: ca.pem });
  const stopped = server.server.stop({ graceMs: 3_600_000 });
  assert.equal((await idle.readToEnd()).text, "");
  await assert.rejects(certificateShown(server.tlsPort, host), "a new visitor");
  assert.ok(await certificateShown(server.tlsPort, DOMAIN), "the tunnel endpoint");
  const sending = inside.send(bytes);
  assert.equal(sha256(await wire.readExactly(bytes.length)), sha256(bytes));
  await sending;
  assert.equal((await wire.readToEnd()).text, "", "its connection ends with it");
  await wire[Symbol.asyncDispose]();
  await within(stopped, "the server to stop");
  assert.ok(tunnel.events.some(({ kind }) => kind === "draining"));
});

programTest("SIGTERM: downloads over HTTPS and through a passed-on session end, and no other visitor is taken", [
  "curl",
], async () => {
  await using certificates = await certificateFolder();
  const { authorityFile } = await certificates.put("wildcard.pem", `*.${DOMAIN}`);
  await using target = await tcpTarget();
  await using server = await spawnSpokes({ yaml: `certificates: ${JSON.stringify(certificates.path)}\n` });
  await using tunnel = await startTunnel(server, [{ kind: "http", target: target.address }]);
  const { hostname: host } = tunnel;
  const there = `there.${host}`;
  await tunnel.http(target.address, { domain: there, tls: { end: "target", target: target.address } });
  const bytes = fill(4 * MEBIBYTE);
  const at = ["--connect-to", `${host}:443:127.0.0.1:${server.tlsPort}`];
  await using download = spawn("curl", [
    "-sS",
    "--max-time",
    "30",
    "--cacert",
    authorityFile,
    ...at,
    `https://${host}/`,
  ]);
  const inside = await target.accept();
  await readRequest(inside);
  await inside.send(`HTTP/1.1 200 OK\r\nContent-Length: ${bytes.length}\r\n\r\n`);
  await inside.send(bytes.subarray(0, MEBIBYTE));
  await using visitor = await connectTcp(server.tlsPort);
  const hello = await helloFor(there);
  await visitor.send(hello);
  const passed = await target.accept();
  await passed.readExactly(hello.length);
  server.program.kill("SIGTERM");
  await server.log.waitFor("stopping");
  for (const name of [host, there]) {
    await eventually(
      () => certificateShown(server.tlsPort, name).then(() => false, () => true),
      `${name} to be refused`,
    );
  }
  assert.ok(await certificateShown(server.tlsPort, DOMAIN), "the tunnel endpoint is there for channels");
  assert.equal(target.connections.length, 2);
  await inside.send(bytes.subarray(MEBIBYTE));
  const { code, bytes: got } = await download.finished;
  assert.deepEqual([code, sha256(got)], [0, sha256(bytes)]);
  const sending = passed.send(bytes).then(() => passed.endWrite());
  assert.equal(sha256((await visitor.readToEnd()).bytes), sha256(bytes));
  await sending;
  await visitor.endWrite();
  assert.equal(await server.ended, 0);
});

programTest(
  "a custom name keeps its certificate while its tunnel is away: visitors are told so over HTTPS",
  PEBBLE_PROGRAMS,
  async () => {
    await using state = await tempDir();
    const [httpPort, tlsPort] = [await freePort(), await freePort()];
    await using ca = await startPebble({ httpPort, tlsPort });
    await using server = await startServer({
      ...{ stateDir: join(state.path, "state"), domains: { withoutProof: ["shop.test"] } },
      ...{ http: { hostname: "127.0.0.1", port: httpPort }, tls: { hostname: "127.0.0.1", port: tlsPort } },
      acme: { directory: ca.directory, ca: ca.ca },
    });
    await using tunnel = await startTunnel(server);
    const rule = { tls: { end: "server" }, domain: "www.shop.test" } as const;
    const name = await tunnel.http(() => new Response("here"), rule);
    const shown = await eventually(
      () => certificateShown(tlsPort, name).catch(() => false),
      `a certificate: ${ca.output}`,
    );
    await tunnel.tunnel.stop();
    await using visitor = await connectTls(tlsPort, { servername: name, ca: await ca.root() });
    assert.equal((await request(0, { host: name, wire: visitor })).status, 503);
    assert.equal(await certificateShown(tlsPort, name), shown);
    await using again = await startTunnel(server, [], { identity: tunnel.identity });
    await again.http(() => new Response("again"), rule);
    assert.equal((await request(0, { host: name, wire: visitor })).text, "again");
    assert.equal(await certificateShown(tlsPort, name), shown);
    // What its tunnel does not want any more is not shown any more.
    await again.publish([{ kind: "http", target: () => new Response("plain") }]);
    await eventually(() => certificateShown(tlsPort, name).then(() => false, () => true), "the name to be refused");
  },
);
