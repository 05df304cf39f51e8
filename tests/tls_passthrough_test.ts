import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { X509Certificate } from "node:crypto";
import { join } from "node:path";
import type { FirewallRule, TlsEnd } from "../mod.ts";
import { testCertificate } from "../net/testing/certificate.ts";
import { StreamResetError } from "../protocol/errors.ts";
import {
  connectTcp,
  eventually,
  fill,
  freePort,
  programTest,
  request,
  run,
  type ServerSetup,
  sha256,
  spawn,
  type Spawned,
  startServer,
  startTunnel,
  type TcpTarget,
  tcpTarget,
  type TempDir,
  tempDir,
  type TestServer,
  type TestTunnel,
  type Wire,
  within,
} from "./harness.ts";
import { certificateFolder, connectTls, helloFor, sClient } from "./harness/tls.ts";

const MEBIBYTE = 1024 * 1024;
const TRANSFER_BYTES = 50 * MEBIBYTE;
/** What may wait between two sides that do not read: kernel buffers of six sockets and 256 KiB in each of our processes. */
const MAX_UNREAD_BYTES = 48 * MEBIBYTE;
const FOR_EVER_MS = 3_600_000;

/** A rule whose TLS goes to a target as it comes. */
interface Published extends AsyncDisposable {
  readonly server: TestServer;
  readonly tunnel: TestTunnel;
  readonly host: string;
  /** What a client says first for the name. */
  readonly hello: Uint8Array;
  /** A visitor that has said its hello, with the target's end of it; that has read the hello. */
  visit(target: TcpTarget): Promise<{ visitor: Wire; inside: Wire }>;
  edit(firewall: readonly FirewallRule[]): Promise<unknown>;
}

async function publish(target: string, options: ServerSetup = {}): Promise<Published> {
  await using stack = new AsyncDisposableStack();
  const server = stack.use(await startServer(options));
  const tunnel = stack.use(await startTunnel(server));
  const tls: TlsEnd = { end: "target", target };
  const host = await tunnel.http(() => new Response("plain"), { tls });
  const hello = await helloFor(host);
  const visitors = stack.use(new AsyncDisposableStack());
  const all = stack.move();
  return {
    ...{ server, tunnel, host, hello },
    async visit(target) {
      const visitor = visitors.use(await connectTcp(server.tlsPort));
      await visitor.send(hello);
      const inside = await target.accept();
      assert.deepEqual(await inside.readExactly(hello.length), Buffer.from(hello));
      return { visitor, inside };
    },
    edit: (firewall) => tunnel.http(() => new Response("plain"), { tls, firewall }),
    [Symbol.asyncDispose]: () => all.disposeAsync(),
  };
}

/** A real nginx that speaks HTTPS, with a certificate of its own. */
interface SecureNginx extends AsyncDisposable {
  readonly address: string;
  readonly port: number;
  readonly folder: TempDir;
  readonly program: Spawned;
}

async function startNginx(pem: { certificate: string; key: string }): Promise<SecureNginx> {
  await using stack = new AsyncDisposableStack();
  const folder = stack.use(await tempDir());
  await folder.write("cert.pem", pem.certificate);
  await folder.write("key.pem", pem.key);
  const port = await freePort();
  const config = await folder.write(
    "nginx.conf",
    `daemon off; ${Deno.uid() === 0 ? "user root;" : ""} worker_processes 1; pid nginx.pid; error_log stderr notice;
    events { worker_connections 256; }
    http {
      access_log off; default_type text/plain; client_max_body_size 0;
      client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi; uwsgi_temp_path uwsgi; scgi_temp_path scgi;
      server {
        listen 127.0.0.1:${port} ssl http2; ssl_certificate cert.pem; ssl_certificate_key key.pem; ssl_protocols TLSv1.2 TLSv1.3;
        root www;
        location /put/ { dav_methods PUT; create_full_put_path on; }
        location = /slow { limit_rate 1m; }
        location = /who { return 200 "$ssl_server_name $server_protocol"; }
      }
    }`,
  );
  await Deno.mkdir(join(folder.path, "www"));
  const program = stack.use(spawn("nginx", ["-p", folder.path, "-c", config]));
  await program.printed(/start worker process \d+/);
  const all = stack.move();
  return { address: `127.0.0.1:${port}`, port, folder, program, [Symbol.asyncDispose]: () => all.disposeAsync() };
}

/** What of `openssl s_client`'s report is the same in every session with the same server. */
function sessionOf(report: string): string[] {
  const keep =
    /^(?:subject|issuer|ALPN|Peer signing|Server Temp Key|New, |SSL handshake has read|-----BEGIN CERTIFICATE|[A-Za-z0-9+/=]{60,}$)/;
  return report.split("\n").filter((line) => keep.test(line)).map((line) => line.replace(/ and written.*/, ""));
}

programTest("nginx ends TLS itself: its certificate, its ALPN, its session, as without a tunnel", [
  "curl",
  "nginx",
  "openssl",
], async () => {
  await using site = await publish("127.0.0.1:1");
  const pem = await testCertificate(site.host);
  await using nginx = await startNginx(pem);
  await site.tunnel.http(() => new Response("plain"), { tls: { end: "target", target: nginx.address } });
  const ca = await nginx.folder.write("ca.txt", pem.authority);
  for (const more of [["-tls1_3"], ["-tls1_2"], ["-alpn", "h2"]]) {
    const args = ["-servername", site.host, "-CAfile", ca, ...more];
    const through = await sClient(site.server.tlsPort, ...args);
    assert.match(through, /Verify return code: 0 \(ok\)/);
    const [ours, direct] = [sessionOf(through), sessionOf(await sClient(nginx.port, ...args))];
    assert.ok(direct.length > 5, direct.join("\n"));
    // ECDSA signatures differ in length by a byte or two.
    const withoutCount = (lines: string[]): string[] => lines.filter((line) => !line.startsWith("SSL handshake"));
    assert.deepEqual(withoutCount(ours), withoutCount(direct));
  }
  // HTTP/2, which our own edge does not speak, is the target's affair.
  const at = `${site.host}:${site.server.tlsPort}`;
  const curl = async (path: string, ...args: string[]): Promise<string> => {
    const fixed = ["-sS", "--max-time", "60", "--cacert", ca, "--resolve", `${at}:127.0.0.1`];
    const { code, stdout, stderr } = await run("curl", [...fixed, ...args, `https://${at}${path}`]);
    assert.equal(code, 0, stderr);
    return stdout;
  };
  assert.equal(await curl("/who", "--http2"), `${site.host} HTTP/2.0`);
  assert.equal(await curl("/who", "--http1.1"), `${site.host} HTTP/1.1`);
  assert.equal((await request(site.server.httpPort, { host: site.host })).text, "plain");
  const bytes = fill(TRANSFER_BYTES);
  const file = await nginx.folder.write("www/large", bytes);
  const down = join(nginx.folder.path, "down");
  await curl("/large", "-o", down);
  assert.equal(sha256(await Deno.readFile(down)), sha256(bytes));
  assert.equal(await curl("/put/up", "--http1.1", "-T", file, "-w", "%{http_code}"), "201");
  assert.equal(sha256(await Deno.readFile(join(nginx.folder.path, "www/put/up"))), sha256(bytes));
});

programTest("a target that is killed in a download is an error for curl, and for who comes later a reset", [
  "curl",
  "nginx",
], async () => {
  await using site = await publish("127.0.0.1:1");
  const pem = await testCertificate(site.host);
  await using nginx = await startNginx(pem);
  await nginx.folder.write("www/slow", fill(TRANSFER_BYTES));
  await site.tunnel.http(() => new Response("plain"), { tls: { end: "target", target: nginx.address } });
  const ca = await nginx.folder.write("ca.txt", pem.authority);
  const at = `${site.host}:${site.server.tlsPort}`;
  const args = ["-sS", "--http1.1", "--cacert", ca, "--resolve", `${at}:127.0.0.1`];
  const [, worker] = await nginx.program.printed(/start worker process (\d+)/);
  await using curl = spawn("curl", [...args, "-o", join(nginx.folder.path, "down"), `https://${at}/slow`]);
  await eventually(async () => (await sizeOf(join(nginx.folder.path, "down"))) > 0, "the download to run");
  nginx.program.kill("SIGSTOP"); // Else it would start another worker.
  Deno.kill(Number(worker), "SIGKILL");
  const { code, stderr } = await curl.finished;
  // 18: partial file, 56: failure in receiving.
  assert.ok(code === 18 || code === 56, `${code} ${stderr}`);
  nginx.program.kill("SIGCONT");
  nginx.program.kill("SIGTERM");
  await nginx.program.finished;
  await using late = await connectTcp(site.server.tlsPort);
  await late.send(site.hello);
  assert.deepEqual((await late.readToEnd()).end, "reset");
  await site.server.log.waitFor("visitor cut", { code: "E2001" });
});

async function sizeOf(path: string): Promise<number> {
  return (await Deno.stat(path).catch(() => ({ size: 0 }))).size;
}

Deno.test("every byte goes through as it came, the hello too, in both directions at once", async () => {
  await using target = await tcpTarget();
  await using site = await publish(target.address);
  const { visitor, inside } = await site.visit(target);
  const [up, down] = [fill(TRANSFER_BYTES, 1), fill(TRANSFER_BYTES, 2)];
  async function sendAll(wire: Wire, bytes: Uint8Array): Promise<void> {
    await wire.send(bytes);
    await wire.endWrite();
  }
  const [, , atTarget, atVisitor] = await Promise.all([
    sendAll(visitor, up),
    sendAll(inside, down),
    inside.readToEnd(),
    visitor.readToEnd(),
  ]);
  assert.deepEqual([sha256(atTarget.bytes), atTarget.end], [sha256(up), "end"]);
  assert.deepEqual([sha256(atVisitor.bytes), atVisitor.end], [sha256(down), "end"]);
  assert.equal(await site.server.metric("spokes_tls_visitors_total"), 1);
});

Deno.test("an end is a half-close, and a reset a reset, whichever side it comes from", async () => {
  await using target = await tcpTarget();
  await using site = await publish(target.address);
  for (const first of ["visitor", "target"] as const) {
    const ending = await site.visit(target);
    const [one, other] = first === "visitor" ? [ending.visitor, ending.inside] : [ending.inside, ending.visitor];
    await one.send("last words");
    await one.endWrite();
    assert.deepEqual(await other.readToEnd().then(({ text, end }) => [text, end]), ["last words", "end"]);
    await other.send("an answer");
    assert.equal(await one.readUntil("answer"), "an answer");
    await other.endWrite();
    assert.equal((await one.readToEnd()).end, "end");
    const resetting = await site.visit(target);
    const [cut, told] = first === "visitor"
      ? [resetting.visitor, resetting.inside]
      : [resetting.inside, resetting.visitor];
    cut.reset();
    assert.equal((await told.readToEnd()).end, "reset");
  }
  await eventually(async () => await site.server.metric("spokes_streams") === 0, "the streams to end");
});

Deno.test("a hello in pieces is passed on whole, and what comes behind it at once too", async () => {
  await using target = await tcpTarget();
  await using site = await publish(target.address);
  await using visitor = await connectTcp(site.server.tlsPort);
  for (const byte of site.hello) {
    await visitor.send(Uint8Array.of(byte));
    await new Promise((resolve) => setImmediate(resolve));
  }
  const inside = await target.accept();
  assert.deepEqual(await inside.readExactly(site.hello.length), Buffer.from(site.hello));
  await using quick = await connectTcp(site.server.tlsPort);
  await quick.send(new Uint8Array([...site.hello, ...new TextEncoder().encode("early data")]));
  const other = await target.accept();
  await other.readExactly(site.hello.length);
  assert.equal(await other.readUntil("data"), "early data");
});

Deno.test("a visitor that does not read holds the target back, and its bytes are not kept", async () => {
  await using target = await tcpTarget();
  await using site = await publish(target.address);
  const { visitor, inside } = await site.visit(target);
  const block = fill(MEBIBYTE);
  let sent = 0;
  for (let held = false; !held;) {
    const sending = inside.send(block).then(() => false);
    sent += block.length;
    held = await Promise.race([sending, new Promise<true>((resolve) => setTimeout(resolve, 500, true))]);
    assert.ok(sent < MAX_UNREAD_BYTES, `${sent} bytes were taken that nobody reads`);
    if (!held) continue;
    const all = visitor.readExactly(sent);
    await sending;
    assert.equal(sha256((await all).subarray(-block.length)), sha256(block));
  }
});

programTest(
  "the firewall refuses before a byte reaches the tunnel, and an edit cuts who is there",
  ["openssl"],
  async () => {
    await using target = await tcpTarget();
    await using site = await publish(target.address);
    const { visitor, inside } = await site.visit(target);
    await site.edit([{ action: "drop", network: "127.0.0.1/32" }]);
    assert.equal((await visitor.readToEnd()).end, "reset");
    assert.equal((await inside.readToEnd()).end, "reset");
    const streams = target.connections.length;
    await using refused = await connectTcp(site.server.tlsPort);
    await refused.send(site.hello);
    assert.deepEqual([...(await refused.readToEnd()).bytes], [21, 3, 3, 0, 2, 2, 112]);
    // One who offers only a challenge is no authority: the target may take anything for one.
    const report = await sClient(site.server.tlsPort, "-servername", site.host, "-alpn", "acme-tls/1");
    assert.match(report, /alert/);
    assert.equal(await site.server.metric("spokes_streams"), 0);
    await using allowed = await connectTcp(site.server.tlsPort, { from: "127.0.0.2" });
    await allowed.send(site.hello);
    await target.accept();
    assert.equal(target.connections.length, streams + 1);
  },
);

Deno.test("a tunnel that is away is an alert, as nobody here has the key", async () => {
  await using target = await tcpTarget();
  await using site = await publish(target.address);
  const { visitor } = await site.visit(target);
  await site.tunnel.tunnel.stop();
  assert.equal((await visitor.readToEnd()).end, "reset");
  await eventually(
    () => connectTls(site.server.tlsPort, { servername: site.host }).then(() => false, () => true),
    "visitors to be refused",
  );
  assert.equal((await request(site.server.httpPort, { host: site.host })).status, 503);
});

programTest("openssl shows who ended TLS: the server, the client or the target; the server has no key but its own", [
  "openssl",
], async () => {
  await using certificates = await certificateFolder();
  await using state = await tempDir();
  const stateDir = join(state.path, "state");
  await certificates.put("server.pem", "*.tunnels.localhost");
  await using server = await startServer({ stateDir, certificatesDir: certificates.path });
  await using tunnel = await startTunnel(server);
  const { hostname } = tunnel;
  const shop = { server: hostname, client: `client.${hostname}`, target: `target.${hostname}` };
  const [own, theirs] = [await testCertificate(shop.client), await testCertificate(shop.target)];
  const certificateFile = await state.write("client.pem", own.certificate);
  const keyFile = await state.write("client.key", own.key);
  await using nginx = await startNginx(theirs);
  const handler = (): Response => new Response("ok");
  await tunnel.publish([
    { kind: "http", domain: shop.server, target: handler, tls: { end: "server" } },
    {
      kind: "http",
      domain: shop.client,
      target: handler,
      tls: { end: "client", certificate: { certificateFile, keyFile } },
    },
    { kind: "http", domain: shop.target, target: handler, tls: { end: "target", target: nginx.address } },
  ]);
  const operators = await Deno.readTextFile(join(certificates.path, "server.pem"));
  for (
    const [name, pem] of [[shop.server, operators], [shop.client, own.certificate], [
      shop.target,
      theirs.certificate,
    ]] as const
  ) {
    const report = await sClient(server.tlsPort, "-servername", name);
    const [shown = ""] = /-----BEGIN CERTIFICATE-----[^]+?-----END CERTIFICATE-----/.exec(report) ?? [];
    assert.equal(new X509Certificate(shown).fingerprint256, new X509Certificate(pem).fingerprint256, name);
  }
  const secrets = [own.key, theirs.key].map((key) => key.replace(/-----[^-]+-----/g, "").trim().split("\n")[0] ?? "");
  assert.ok(secrets.every((secret) => secret.length >= 64));
  let files = 0;
  for await (const { name, isFile } of Deno.readDir(stateDir)) {
    if (!isFile) continue;
    files++;
    const text = new TextDecoder("latin1").decode(await Deno.readFile(join(stateDir, name)));
    for (const secret of secrets) assert.ok(!text.includes(secret), name);
  }
  assert.ok(files > 1);
  assert.doesNotMatch(JSON.stringify(server.log.entries), /PRIVATE KEY/);
});

programTest("a server that stops lets a passed-on session end, and takes no other, not even for a challenge", [
  "openssl",
], async () => {
  await using target = await tcpTarget();
  await using site = await publish(target.address);
  const { visitor, inside } = await site.visit(target);
  const stopped = site.server.server.stop({ graceMs: FOR_EVER_MS });
  await eventually(() => site.tunnel.events.some(({ kind }) => kind === "draining"), "the client to be told");
  await using late = await connectTcp(site.server.tlsPort);
  await late.send(site.hello);
  assert.deepEqual([...(await late.readToEnd()).bytes], [21, 3, 3, 0, 2, 2, 112]);
  const challenge = await sClient(site.server.tlsPort, "-servername", site.host, "-alpn", "acme-tls/1");
  assert.match(challenge, /alert/);
  assert.equal(target.connections.length, 1);
  const bytes = fill(3 * MEBIBYTE);
  const sending = inside.send(bytes);
  assert.equal(sha256(await visitor.readExactly(bytes.length)), sha256(bytes));
  await sending;
  await inside.endWrite();
  await visitor.endWrite();
  assert.equal((await visitor.readToEnd()).end, "end");
  await within(stopped, "the server to stop");
});

Deno.test("passed-on sessions that still run at the end of the grace time are reset", async () => {
  await using target = await tcpTarget();
  await using site = await publish(target.address);
  const { visitor, inside } = await site.visit(target);
  await within(site.server.server.stop({ graceMs: 300 }), "the server to stop");
  assert.equal((await visitor.readToEnd()).end, "reset");
  await assert.rejects(inside.readExactly(1), StreamResetError);
});
