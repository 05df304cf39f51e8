import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { join } from "node:path";
import {
  fill,
  freePort,
  programTest,
  readRequest,
  run,
  sha256,
  SOAK,
  spawn,
  startServer,
  startTunnel,
  tcpTarget,
  type TempDir,
  tempDir,
  type TestServer,
} from "./harness.ts";
import { StreamResetError } from "../protocol/errors.ts";

/** A real nginx in a folder of its own. */
interface Nginx extends AsyncDisposable {
  readonly address: string;
  readonly folder: TempDir;
}

const MEBIBYTE = 1024 * 1024;
const TRANSFER_BYTES = SOAK ? 1024 * MEBIBYTE : 50 * MEBIBYTE;

async function startNginx(): Promise<Nginx> {
  await using stack = new AsyncDisposableStack();
  const folder = stack.use(await tempDir());
  const port = await freePort();
  await Deno.mkdir(join(folder.path, "www"));
  const asRoot = Deno.uid() === 0 ? "user root;" : "";
  const config = await folder.write(
    "nginx.conf",
    `daemon off; ${asRoot} worker_processes 1; pid nginx.pid; error_log stderr notice;
    events { worker_connections 4096; }
    http {
      access_log off; default_type text/plain; client_max_body_size 0;
      client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi; uwsgi_temp_path uwsgi; scgi_temp_path scgi;
      server {
        listen 127.0.0.1:${port};
        root www; index index.html;
        location /put/ { dav_methods PUT; create_full_put_path on; }
        location = /headers { return 200 "$http_host $http_x_forwarded_for $request_method\\n"; }
        location = /moved { return 302 /index.html; }
        location = /small { client_max_body_size 1k; return 200 "small\\n"; }
      }
    }`,
  );
  const nginx = stack.use(spawn("nginx", ["-p", folder.path, "-c", config]));
  await nginx.printed(/start worker process \d+/);
  const all = stack.move();
  return { address: `127.0.0.1:${port}`, folder, [Symbol.asyncDispose]: () => all.disposeAsync() };
}

/** nginx behind a tunnel, and curl in front of it. */
interface Site extends Nginx {
  readonly server: TestServer;
  readonly host: string;
  url(path: string): string;
  /** Runs curl and gives what it printed. */
  curl(...args: string[]): Promise<string>;
}

async function publishNginx(): Promise<Site> {
  await using stack = new AsyncDisposableStack();
  const nginx = stack.use(await startNginx());
  const server = stack.use(await startServer());
  const tunnel = stack.use(await startTunnel(server, [{ kind: "http", target: nginx.address }]));
  const all = stack.move();
  return {
    ...nginx,
    server,
    host: tunnel.hostname,
    url: (path) => server.url(tunnel.hostname, path),
    async curl(...args) {
      const { code, stdout, stderr } = await run("curl", ["-sS", "--max-time", "300", ...args], { timeoutMs: 300_000 });
      assert.equal(code, 0, `curl ${args.join(" ")}: ${stderr}`);
      return stdout;
    },
    [Symbol.asyncDispose]: () => all.disposeAsync(),
  };
}

programTest(
  "curl and nginx: keep-alive, HEAD, redirect, range, not modified, HTTP/1.0",
  ["curl", "nginx"],
  async () => {
    await using site = await publishNginx();
    const { curl, url, host } = site;
    await site.folder.write("www/index.html", "0123456789\n");
    await site.folder.write("www/empty", "");
    assert.equal(await curl(url("/")), "0123456789\n");
    const connects = await curl("-w", " %{num_connects}", url("/"), url("/empty"), url("/index.html"));
    assert.equal(connects.replaceAll("\n", ""), "0123456789 1 00123456789 0");
    const head = await curl("-I", url("/"));
    assert.match(head, /^HTTP\/1\.1 200 OK\r\n/);
    assert.match(head, /\r\nContent-Length: 11\r\n/);
    assert.match(head, /\r\nServer: nginx/);
    assert.equal(await curl("-L", "-w", " %{num_redirects}", url("/moved")), "0123456789\n 1");
    assert.equal(await curl("-r", "2-4", "-w", " %{http_code}", url("/")), "234 206");
    const etag = /\r\nETag: (\S+)\r\n/.exec(head)?.[1] ?? "";
    assert.equal(await curl("-H", `If-None-Match: ${etag}`, "-w", "%{http_code}", url("/")), "304");
    assert.equal(await curl("-0", "-w", "%{http_version}", url("/")), "0123456789\n1.1");
    assert.equal(await curl("-w", "%{http_code}", "-o", "/dev/null", url("/missing")), "404");
    const { httpPort } = site.server;
    assert.equal(await curl(url("/headers")), `${host}:${httpPort} 127.0.0.1 GET\n`);
  },
);

programTest("curl and nginx: bodies by length, chunks, Expect, and an early answer", ["curl", "nginx"], async () => {
  await using site = await publishNginx();
  const { curl, url, folder } = site;
  const bytes = fill(3 * MEBIBYTE);
  const file = await folder.write("file", bytes);
  const written = async (name: string) => sha256(await Deno.readFile(join(folder.path, "www/put", name)));
  assert.equal(await curl("-T", file, "-w", "%{http_code}", url("/put/length")), "201");
  assert.equal(await written("length"), sha256(bytes));
  assert.equal(
    await curl("-T", file, "-H", "Transfer-Encoding: chunked", "-w", "%{http_code}", url("/put/chunks")),
    "201",
  );
  assert.equal(await written("chunks"), sha256(bytes));
  const trace = await run("curl", ["-sSv", "-T", file, "-H", "Expect: 100-continue", url("/put/expect")]);
  assert.match(trace.stderr, /< HTTP\/1\.1 100 Continue/);
  assert.equal(await written("expect"), sha256(bytes));
  assert.equal(await curl("-T", file, "-w", "%{http_code}", "-o", "/dev/null", url("/small")), "413");
  assert.equal(
    await curl("-T", file, "-H", "Expect:", "-w", "%{http_code}", "-o", "/dev/null", url("/small")),
    "413",
  );
});

programTest(
  `curl and nginx: ${TRANSFER_BYTES / MEBIBYTE} MiB down and up arrive unchanged`,
  ["curl", "nginx"],
  async () => {
    await using site = await publishNginx();
    const { curl, url, folder } = site;
    const file = join(folder.path, "www/large");
    const hash = await writeLarge(file);
    await curl("-o", join(folder.path, "down"), url("/large"));
    assert.equal(await hashOf(join(folder.path, "down")), hash);
    await curl("-T", file, "-w", "%{http_code}", url("/put/up"));
    assert.equal(await hashOf(join(folder.path, "www/put/up")), hash);
  },
);

programTest("wrk with many connections meets no error", ["wrk", "nginx"], async () => {
  await using site = await publishNginx();
  await site.folder.write("www/index.html", "x".repeat(1000));
  for (const connections of [1, 32, 250]) {
    const { stdout, code } = await run("wrk", [
      ...["-t1", `-c${connections}`, `-d${SOAK ? 20 : 1}s`, "-H", `Host: ${site.host}`],
      `http://127.0.0.1:${site.server.httpPort}/`,
    ]);
    assert.equal(code, 0, stdout);
    assert.match(stdout, /\b[1-9]\d* requests in /);
    const refused = site.server.log.all("request failed").map(({ fields }) => `${fields["code"]} ${fields["reason"]}`);
    assert.doesNotMatch(stdout, /Non-2xx|Socket errors/, `${stdout}${[...new Set(refused)].join("\n")}`);
  }
});

programTest("curl sees a cut download as an error, however it is framed", ["curl"], async () => {
  const framings = ["Content-Length: 1000\r\n", "Transfer-Encoding: chunked\r\n", "Connection: close\r\n"];
  for (const framing of framings) {
    await using target = await tcpTarget(async (wire) => {
      await readRequest(wire);
      await wire.send(`HTTP/1.1 200 OK\r\n${framing}\r\n5\r\nhello\r\n`);
      await curl.printed(/hello/);
      wire.reset();
    });
    await using server = await startServer();
    await using tunnel = await startTunnel(server, [{ kind: "http", target: target.address }]);
    await using curl = spawn("curl", ["-sSN", server.url(tunnel.hostname)]);
    const { code } = await curl.finished;
    // 18: partial file, 56: failure in receiving.
    assert.ok(code === 18 || code === 56, `${framing}: ${code}`);
  }
});

programTest("curl prints server-sent events one by one", ["curl"], async () => {
  await using target = await tcpTarget();
  await using server = await startServer();
  await using tunnel = await startTunnel(server, [{ kind: "http", target: target.address }]);
  await using curl = spawn("curl", ["-sSN", server.url(tunnel.hostname)]);
  const inside = await target.accept();
  await readRequest(inside);
  await inside.send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n");
  for (let index = 0; index < 5; index++) {
    await inside.send(`data: event ${index}\n\n`);
    await curl.printed(new RegExp(`event ${index}\n`));
  }
  curl.kill("SIGTERM");
  await curl.finished;
  // A visitor that has ended its direction may still listen: that nobody does is known when something is sent to it.
  await assert.rejects(async () => {
    for (;;) {
      await inside.send("data: more\n\n");
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
  }, StreamResetError);
});

/** A file of that size made of one random mebibyte, each copy with its own number in front. */
async function writeLarge(path: string): Promise<string> {
  const block = fill(MEBIBYTE);
  const view = new DataView(block.buffer);
  using file = await Deno.open(path, { write: true, create: true });
  const writer = file.writable.getWriter();
  for (let index = 0; index < TRANSFER_BYTES / MEBIBYTE; index++) {
    view.setUint32(0, index);
    await writer.write(block);
  }
  return await hashOf(path);
}

async function hashOf(path: string): Promise<string> {
  const hash = createHash("sha256");
  using file = await Deno.open(path);
  for await (const bytes of file.readable) hash.update(bytes);
  return hash.digest("hex");
}
