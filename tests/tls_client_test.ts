import assert from "node:assert/strict";
import { once } from "node:events";
import { join } from "node:path";
import tls from "node:tls";
import type { ClientHttpRule } from "../mod.ts";
import { testCertificate } from "../net/testing/certificate.ts";
import {
  eventually,
  freePort,
  httpTarget,
  jsonEcho,
  programTest,
  request,
  run,
  SOAK,
  spawn,
  startServer,
  startTunnel,
  type TempDir,
  tempDir,
  type TestServer,
  type TestTunnel,
} from "./harness.ts";

const MEBIBYTE = 1024 * 1024;

/** A server and a tunnel, and a folder for files. */
interface Setup extends AsyncDisposable {
  readonly server: TestServer;
  readonly tunnel: TestTunnel;
  readonly folder: TempDir;
  /** The files of a new certificate for the tunnel's name and all below it; `ca` is the authority. */
  certificate(): Promise<{ certificateFile: string; keyFile: string; ca: string }>;
  /** Runs curl on a path of the tunnel's name over HTTPS. */
  curl(ca: string, path: string, ...args: string[]): Promise<string>;
}

async function setUp(): Promise<Setup> {
  await using stack = new AsyncDisposableStack();
  const folder = stack.use(await tempDir());
  const server = stack.use(await startServer());
  const tunnel = stack.use(await startTunnel(server));
  const all = stack.move();
  return {
    ...{ server, tunnel, folder },
    async certificate() {
      const { hostname } = tunnel;
      const { certificate, key, authority } = await testCertificate(hostname, `*.${hostname}`);
      return {
        certificateFile: await folder.write("fullchain.pem", certificate),
        keyFile: await folder.write("privkey.pem", key),
        ca: await folder.write("ca.pem", authority),
      };
    },
    async curl(ca, path, ...args) {
      const at = `${tunnel.hostname}:${server.tlsPort}`;
      const fixed = ["-sS", "--max-time", "60", "--cacert", ca, "--resolve", `${at}:127.0.0.1`];
      const { code, stdout, stderr } = await run("curl", [...fixed, ...args, `https://${at}${path}`]);
      assert.equal(code, 0, stderr);
      return stdout;
    },
    [Symbol.asyncDispose]: () => all.disposeAsync(),
  };
}

/** Who signed the certificate that a visitor is shown. */
async function issuerSeen(server: TestServer, servername: string): Promise<string> {
  const socket = tls.connect({ host: "127.0.0.1", port: server.tlsPort, servername, rejectUnauthorized: false });
  socket.on("error", () => {}); // Whoever waits for the handshake is told.
  try {
    await once(socket, "secureConnect");
    return String(socket.getPeerCertificate().issuer.CN);
  } finally {
    socket.destroy();
  }
}

programTest(
  "HTTPS that ends in the client: reverse proxy, redirect, and who holds the key",
  ["curl", "openssl"],
  async () => {
    await using setup = await setUp();
    const { server, tunnel } = setup;
    await using target = await httpTarget(jsonEcho);
    const { ca, ...files } = await setup.certificate();
    const host = await tunnel.http(target.address, { tls: { end: "client", certificate: files }, redirect: true });
    const seen = JSON.parse(await setup.curl(ca, "/a?b=c", "-d", "body"));
    assert.deepEqual([seen.method, seen.path, seen.body], ["POST", "/a?b=c", "body"]);
    assert.equal(seen.headers["x-forwarded-proto"], "https");
    assert.equal(seen.headers["x-forwarded-for"], "127.0.0.1");
    assert.equal(seen.headers["host"], `${host}:${server.tlsPort}`);
    const plain = await request(server.httpPort, { host });
    assert.ok([301, 308].includes(plain.status), `${plain.status}`);
    assert.match(plain.get("location") ?? "", new RegExp(`^https://${host}`));
    // The server shows its own certificate for its own name, and has none for this one.
    const args = ["s_client", "-connect", `127.0.0.1:${server.tlsPort}`, "-servername", host, "-CAfile", ca];
    const { stdout } = await run("openssl", args);
    assert.match(stdout, /issuer=CN = Test authority/);
    assert.match(stdout, /Verify return code: 0/);
    assert.match(await issuerSeen(server, "tunnels.localhost"), /^spokes/);
  },
);

programTest("HTTPS that ends in the client: a folder with large files, ranges and conditions", ["curl"], async () => {
  await using setup = await setUp();
  const { ca, ...files } = await setup.certificate();
  const site = join(setup.folder.path, "site");
  await Deno.mkdir(site);
  const size = SOAK ? 500 * MEBIBYTE : 20 * MEBIBYTE;
  await Deno.writeFile(join(site, "big.bin"), new Uint8Array(size).fill(7));
  await Deno.writeTextFile(join(site, "index.html"), "<p>home");
  await setup.tunnel.http(site, { tls: { end: "client", certificate: files } });
  assert.equal(await setup.curl(ca, "/"), "<p>home");
  const saved = join(setup.folder.path, "saved");
  await setup.curl(ca, "/big.bin", "-o", saved);
  assert.equal((await Deno.stat(saved)).size, size);
  const facts = ["-o", "/dev/null", "-w", "%{http_code} %{size_download}"];
  assert.equal(await setup.curl(ca, "/big.bin", "-r", "1000-1999", ...facts), "206 1000");
  const since = (await Deno.stat(join(site, "index.html"))).mtime?.toUTCString();
  assert.equal(await setup.curl(ca, "/", "-H", `If-Modified-Since: ${since}`, ...facts), "304 0");
});

programTest("TLS that ends at the target: nginx shows its own certificate", ["curl", "nginx"], async () => {
  await using setup = await setUp();
  const { ca, certificateFile, keyFile } = await setup.certificate();
  const port = await freePort();
  const asRoot = Deno.uid() === 0 ? "user root;" : "";
  const config = await setup.folder.write(
    "nginx.conf",
    `daemon off; ${asRoot} worker_processes 1; pid nginx.pid; error_log stderr notice; events {}
    http {
      access_log off;
      client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi; uwsgi_temp_path uwsgi; scgi_temp_path scgi;
      server {
        listen 127.0.0.1:${port} ssl; ssl_certificate ${certificateFile}; ssl_certificate_key ${keyFile};
        location / { return 200 "nginx $ssl_server_name"; }
      }
    }`,
  );
  await using nginx = spawn("nginx", ["-p", setup.folder.path, "-c", config]);
  await nginx.printed(/start worker process \d+/);
  await using web = await httpTarget(() => new Response("plain"));
  const host = await setup.tunnel.http(web.address, { tls: { end: "target", target: `127.0.0.1:${port}` } });
  assert.equal(await setup.curl(ca, "/"), `nginx ${host}`);
  assert.equal((await request(setup.server.httpPort, { host })).text, "plain");
});

Deno.test("a certificate that cannot be used closes its rule alone, and an edit of its files opens it", async () => {
  await using setup = await setUp();
  const { tunnel } = setup;
  const { ca: _ca, ...files } = await setup.certificate();
  await Deno.chmod(files.keyFile, 0o644);
  const secure: ClientHttpRule = {
    ...{ kind: "http", domain: `www.${tunnel.hostname}`, target: () => new Response("secure") },
    tls: { end: "client", certificate: files },
  };
  const states = await tunnel.tunnel.setRules([{ kind: "http", target: () => new Response("open") }, secure]);
  assert.deepEqual(states.map(({ state, code }) => [state, code]), [["active", undefined], ["inactive", "E6002"]]);
  assert.match(states[1]?.message ?? "", /privkey\.pem.*others may open it/);
  await assert.rejects(issuerSeen(setup.server, secure.domain!));
  const from = tunnel.events.length;
  await Deno.chmod(files.keyFile, 0o600);
  await eventually(
    () =>
      tunnel.events.slice(from).some((event) =>
        event.kind === "rules" && event.states.every(({ state }) => state === "active")
      ),
    "the rule to be opened",
  );
  assert.equal(await issuerSeen(setup.server, secure.domain!), "Test authority");
});
