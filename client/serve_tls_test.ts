import assert from "node:assert/strict";
import { join } from "node:path";
import net from "node:net";
import type tls from "node:tls";
import { makeChallengeCertificate } from "../net/acme/challenge_certificate.ts";
import { programTest } from "../net/testing/programs.ts";
import { SILENT } from "../net/log.ts";
import { type TestCertificate, testCertificate } from "../net/testing/certificate.ts";
import { AcmeCertificates } from "./certificates/acme_certificates.ts";
import type { ClientHttpRule } from "./options.ts";
import { Resolver } from "./resolver.ts";
import { type TlsEdge, tlsEdge, tlsVisit, type TlsVisitOptions, VISITOR } from "./testing/tls_edge.ts";

const DOMAIN = "blog.example.com";
const RULE = `http/${DOMAIN}`;

/** A rule whose TLS ends in the client with a certificate from files, and a way to visit it. */
interface Setup extends AsyncDisposable {
  readonly certificate: TestCertificate;
  readonly folder: string;
  readonly resolver: Resolver;
  readonly edge: TlsEdge;
  /** Sets the rule again. */
  set(rule: Partial<ClientHttpRule>): void;
  visit(options?: Partial<TlsVisitOptions>): Promise<tls.TLSSocket>;
}

async function setUp(rule: Partial<ClientHttpRule> = {}): Promise<Setup> {
  const folder = await Deno.makeTempDir();
  const certificate = await testCertificate(DOMAIN, `*.${DOMAIN}`);
  await Deno.writeTextFile(join(folder, "chain.pem"), certificate.certificate);
  await Deno.writeTextFile(join(folder, "key.pem"), certificate.key, { mode: 0o600 });
  await Deno.writeTextFile(join(folder, "ca.pem"), certificate.authority);
  const acme = new AcmeCertificates({ folder: join(folder, "acme"), onEvent() {}, onChange() {}, log: SILENT });
  const resolver = new Resolver({ acme });
  const files = { certificateFile: join(folder, "chain.pem"), keyFile: join(folder, "key.pem") };
  function set(more: Partial<ClientHttpRule>): void {
    const target = () => text("hello");
    resolver.set([{
      ...{ kind: "http", domain: DOMAIN, target, tls: { end: "client", certificate: files } },
      ...more,
    }], DOMAIN);
  }
  set(rule);
  await resolver.look();
  const edge = await tlsEdge(resolver, RULE);
  return {
    ...{ certificate, folder, resolver, edge, set },
    visit: (options) => tlsVisit({ port: edge.port, serverName: DOMAIN, ca: certificate.authority, ...options }),
    async [Symbol.asyncDispose]() {
      await edge[Symbol.asyncDispose]();
      await acme[Symbol.asyncDispose]();
      await Deno.remove(folder, { recursive: true });
    },
  };
}

/** A web service that shows what it was asked; and on how many connections. */
interface Service extends AsyncDisposable {
  readonly address: string;
  readonly connections: ReadonlySet<number>;
}

function service(): Service {
  const connections = new Set<number>();
  const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen() {} }, async (request, { remoteAddr }) => {
    connections.add(remoteAddr.port);
    const headers = Object.fromEntries(request.headers);
    return Response.json({ method: request.method, url: request.url, headers, body: await request.text() });
  });
  return {
    address: `127.0.0.1:${server.addr.port}`,
    connections,
    [Symbol.asyncDispose]: () => server.shutdown(),
  };
}

/** Sends a request and gives the answer: head, and a body that says its length. */
async function ask(socket: net.Socket, request: string): Promise<{ status: number; head: string; body: string }> {
  socket.write(request);
  let text = "";
  for (;;) {
    const chunk = socket.read() as Uint8Array | null;
    if (chunk === null) {
      if (socket.readableEnded || socket.destroyed) {
        throw new Error(`The connection ended after ${JSON.stringify(text)}`);
      }
      await Promise.race(["readable", "end", "close"].map((event) => new Promise((wake) => socket.once(event, wake))));
      continue;
    }
    text += new TextDecoder().decode(chunk);
    const [head = "", body] = text.split("\r\n\r\n", 2);
    const length = Number(/^content-length: ([0-9]+)/im.exec(head)?.[1] ?? 0);
    if (body !== undefined && body.length >= length) return { status: Number(head.slice(9, 12)), head, body };
  }
}

/** An answer whose length is known. */
function text(body: string): Response {
  return new Response(body, { headers: { "content-length": `${body.length}` } });
}

function get(path: string, host: string = DOMAIN): string {
  return `GET ${path} HTTP/1.1\r\nHost: ${host}\r\n\r\n`;
}

async function failure(visit: Promise<tls.TLSSocket>): Promise<string> {
  try {
    (await visit).destroy();
  } catch (error) {
    return (error as Error).message;
  }
  throw new Error("The handshake came to an end");
}

Deno.test("a rule whose TLS ends here is served over HTTPS, and its target told so", async () => {
  await using target = service();
  await using setup = await setUp({ target: target.address });
  const socket = await setup.visit();
  assert.equal(socket.alpnProtocol, "http/1.1");
  const request =
    "POST /a?b HTTP/1.1\r\nHost: BLOG.example.com\r\nX-Forwarded-For: 6.6.6.6\r\nContent-Length: 3\r\n\r\nabc";
  const { status, body } = await ask(socket, request);
  const { url, headers, body: sent } = JSON.parse(body);
  assert.equal(status, 200);
  assert.equal(new URL(url).pathname, "/a");
  assert.equal(sent, "abc");
  assert.equal(headers["x-forwarded-for"], VISITOR.address);
  assert.equal(headers["x-forwarded-proto"], "https");
  assert.equal(headers["forwarded"], `for=${VISITOR.address};host=BLOG.example.com;proto=https`);
  socket.destroy();
});

Deno.test("connections to the target are kept for the next visitor", async () => {
  await using target = service();
  await using setup = await setUp({ target: target.address });
  for (let visit = 0; visit < 3; visit++) {
    const socket = await setup.visit();
    for (let request = 0; request < 3; request++) assert.equal((await ask(socket, get("/"))).status, 200);
    socket.destroy();
  }
  assert.equal(target.connections.size, 1);
  // A rule that leads elsewhere takes nothing along; the visitor's connection goes on.
  const socket = await setup.visit();
  await ask(socket, get("/"));
  setup.set({ target: () => text("elsewhere") });
  await setup.resolver.look();
  assert.equal((await ask(socket, get("/"))).body, "elsewhere");
  socket.destroy();
});

Deno.test("a target that cannot be reached is a page with the reason, and the visitor's connection goes on", async () => {
  await using setup = await setUp({ target: "unix:/nowhere/app.sock" });
  const socket = await setup.visit();
  for (let request = 0; request < 2; request++) {
    const { status, body } = await ask(socket, get("/"));
    assert.equal(status, 502);
    assert.match(body, /E2004/);
  }
  socket.destroy();
});

Deno.test("a name is asked for in TLS and in Host alike, or it is 421", async () => {
  await using setup = await setUp();
  const name = `www.${DOMAIN}`;
  const socket = await setup.visit({ serverName: name });
  assert.equal((await ask(socket, get("/", name))).status, 200);
  const { status, body } = await ask(socket, get("/"));
  assert.equal(status, 421);
  assert.match(body, /E1421/);
  socket.destroy();
});

Deno.test("a handshake without a name, for another name, or in another protocol ends with an alert", async () => {
  await using setup = await setUp();
  assert.match(await failure(setup.visit({ serverName: "" })), /unrecognized|Unrecognised/i);
  assert.match(await failure(setup.visit({ serverName: "other.example.com" })), /unrecognized|Unrecognised/i);
  assert.match(await failure(setup.visit({ serverName: `not${DOMAIN}` })), /unrecognized|Unrecognised/i);
  // It is a name of the rule, and the certificate is not for it.
  assert.match(await failure(setup.visit({ serverName: `a.b.${DOMAIN}` })), /unrecognized|Unrecognised/i);
  assert.match(await failure(setup.visit({ alpn: ["h2"] })), /application.?protocol/i);
  const conn = await Deno.connect({ hostname: "127.0.0.1", port: setup.edge.port });
  await conn.write(new TextEncoder().encode("GET / HTTP/1.1\r\n\r\n"));
  await conn.closeWrite();
  const alert = new Uint8Array(await new Response(conn.readable).arrayBuffer());
  assert.deepEqual([...alert], [21, 3, 3, 0, 2, 2, 50]);
});

Deno.test("a visitor who does not come to the end of a handshake is cut, wherever it stops (R37)", async () => {
  await using setup = await setUp();
  await using impatient = await tlsEdge(setup.resolver, RULE, { handshakeMs: 1 });
  const record = Uint8Array.from([22, 3, 1, 0, 200, 1, 0, 0, 196, 3, 3]);
  for (const sent of [0, 3, record.length]) {
    const conn = await Deno.connect({ hostname: "127.0.0.1", port: impatient.port });
    await conn.write(record.subarray(0, sent));
    await assert.rejects(new Response(conn.readable).arrayBuffer(), Deno.errors.ConnectionReset);
  }
});

Deno.test("until there is a certificate handshakes end with an alert, and the challenges are answered", async () => {
  await using setup = await setUp({ tls: { end: "client", certificate: "acme" } });
  assert.match(await failure(setup.visit()), /internal.?error/i);
  assert.match(await failure(setup.visit({ alpn: ["acme-tls/1"] })), /unrecognized|Unrecognised/i);
  const challenges = setup.resolver.site(RULE)?.challenges;
  assert.ok(challenges !== undefined);
  await using plain = await tlsEdge(setup.resolver, RULE, { protocol: "acme" });
  const token = "a-token_that-is-43-characters-long_000000000";
  using _http = challenges.setHttp(DOMAIN, token, "the answer");
  for (
    const [path, host, status, body] of [
      [token, DOMAIN, 200, "the answer"],
      [token, `www.${DOMAIN}`, 404, "404 Not Found\n"],
      ["another", DOMAIN, 404, "404 Not Found\n"],
      ["..%2f..%2fetc/passwd", DOMAIN, 404, "404 Not Found\n"],
      ["", DOMAIN, 404, "404 Not Found\n"],
    ] as const
  ) {
    const socket = net.connect({ host: "127.0.0.1", port: plain.port });
    const answer = await ask(socket, get(`/.well-known/acme-challenge/${path}`, host));
    assert.deepEqual([answer.status, answer.body], [status, body], path);
    socket.destroy();
  }
});

programTest("an authority that validates by TLS is shown the challenge, at the same name", ["openssl"], async () => {
  await using setup = await setUp({ tls: { end: "client", certificate: "acme" } });
  const challenge = await makeChallengeCertificate(DOMAIN, "token.thumbprint");
  using _tls = setup.resolver.site(RULE)?.challenges?.setTlsAlpn(DOMAIN, challenge);
  const args = ["s_client", "-connect", `127.0.0.1:${setup.edge.port}`, "-servername", DOMAIN, "-alpn", "acme-tls/1"];
  const { stdout } = await new Deno.Command("openssl", { args, stdin: "null", stderr: "null" }).output();
  const shown = new TextDecoder().decode(stdout);
  assert.match(shown, /ALPN protocol: acme-tls\/1/);
  assert.match(shown, /subject=CN = ACME challenge/);
});

Deno.test("a certificate is replaced without touching connections, and a broken one changes nothing", async () => {
  await using setup = await setUp();
  const before = await setup.visit();
  await ask(before, get("/"));
  const other = await testCertificate(DOMAIN);
  await Deno.writeTextFile(join(setup.folder, "chain.pem"), other.certificate);
  await setup.resolver.look();
  // The key does not belong to it: the one before goes on to serve.
  (await setup.visit()).destroy();
  await Deno.writeTextFile(join(setup.folder, "key.pem"), other.key);
  assert.deepEqual(await setup.resolver.look(), []);
  (await setup.visit({ ca: other.authority })).destroy();
  await assert.rejects(setup.visit());
  assert.equal((await ask(before, get("/"))).body, "hello");
  before.destroy();
});

Deno.test("drained, connections end with their exchange, and idle ones now", async () => {
  await using setup = await setUp();
  const socket = await setup.visit();
  await ask(socket, get("/"));
  socket.resume();
  const ended = new Promise((resolve) => socket.once("end", resolve));
  setup.edge.drain();
  await ended;
  socket.end();
  while (setup.edge.running > 0) await new Promise((resolve) => setTimeout(resolve, 5));
});

Deno.test("TLS that ends at the target reaches it untouched", async () => {
  const certificate = await testCertificate(DOMAIN);
  await using server = Deno.serve(
    { hostname: "127.0.0.1", port: 0, cert: certificate.certificate, key: certificate.key, onListen() {} },
    () => text("from the target"),
  );
  const passed = { end: "target", target: `127.0.0.1:${server.addr.port}` } as const;
  await using setup = await setUp({ tls: passed });
  const socket = await setup.visit({ ca: certificate.authority });
  assert.equal((await ask(socket, get("/"))).body, "from the target");
  socket.destroy();
  assert.equal(
    setup.resolver.resolve({ kind: "open", rule: RULE, revision: 1, protocol: "http", visitor: VISITOR }).kind,
    "handler",
  );
});

programTest("curl loads a folder over HTTPS with ranges, and uploads through a pipe of its own", ["curl"], async () => {
  await using target = service();
  await using setup = await setUp({ target: "/" });
  const site = join(setup.folder, "site");
  await Deno.mkdir(site);
  await Deno.writeFile(join(site, "big.bin"), new Uint8Array(3_000_000).fill(7));
  setup.set({ target: site });
  await setup.resolver.look();
  async function curl(...args: string[]): Promise<Uint8Array> {
    const { port } = setup.edge;
    const fixed = ["--silent", "--show-error", "--cacert", join(setup.folder, "ca.pem")];
    const { stdout, stderr, success } = await new Deno.Command("curl", {
      args: [...fixed, "--resolve", `${DOMAIN}:${port}:127.0.0.1`, ...args, `https://${DOMAIN}:${port}/big.bin`],
    }).output();
    assert.ok(success, new TextDecoder().decode(stderr));
    return stdout;
  }
  assert.deepEqual(await curl(), new Uint8Array(3_000_000).fill(7));
  assert.equal((await curl("--range", "1000-1999")).length, 1000);
  setup.set({ target: target.address });
  await setup.resolver.look();
  const { body } = JSON.parse(new TextDecoder().decode(await curl("--data-binary", `@${join(site, "big.bin")}`)));
  assert.equal(body.length, 3_000_000);
});
