import assert from "node:assert/strict";
import { once } from "node:events";
import tls from "node:tls";
import { type ClientHttpRule, hashPassword } from "../mod.ts";
import { testCertificate } from "../net/testing/certificate.ts";
import {
  connectTcp,
  httpTarget,
  jsonEcho,
  startServer,
  startTunnel,
  tempDir,
  type TestServer,
  within,
} from "./harness.ts";
import { openDoors, portMap } from "./harness/mesh.ts";
import { connectTls } from "./harness/tls.ts";

const DOMAIN = "tunnels.localhost";

function getHead(host: string, path = "/"): string {
  return `GET ${path} HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`;
}

/** What a handshake with these protocols comes to: the one that was chosen, or `refused`. */
async function handshake(port: number, servername: string, protocols: string[]): Promise<string> {
  const options = { host: "127.0.0.1", port, servername, rejectUnauthorized: false, ALPNProtocols: protocols };
  const socket = tls.connect(options);
  const refused = Promise.withResolvers<string>();
  socket.on("error", () => refused.resolve("refused"));
  const secured = once(socket, "secureConnect").then(() => String(socket.alpnProtocol), () => "refused");
  const result = await within(Promise.race([secured, refused.promise]), "the handshake");
  socket.destroy();
  if (!socket.closed) await once(socket, "close");
  return result;
}

/** A server that ends TLS for its domain, and files with a certificate for the same names for a client. */
interface Setup extends AsyncDisposable {
  readonly server: TestServer;
  readonly files: { certificateFile: string; keyFile: string };
}

async function setUp(): Promise<Setup> {
  await using stack = new AsyncDisposableStack();
  const folder = stack.use(await tempDir());
  const { certificate, key } = await testCertificate(DOMAIN, `*.${DOMAIN}`);
  const certificateFile = await folder.write("chain.pem", certificate);
  const keyFile = await folder.write("key.pem", key);
  const certificates = stack.use(await tempDir());
  await certificates.write("site.pem", certificate + key);
  const server = stack.use(await startServer({ certificatesDir: certificates.path }));
  const all = stack.move();
  return { server, files: { certificateFile, keyFile }, [Symbol.asyncDispose]: () => all.disposeAsync() };
}

for (const end of ["server", "client"] as const) {
  Deno.test(`HTTP/1.1 is the only protocol that is spoken where TLS ends at the ${end} (R51)`, async () => {
    await using setup = await setUp();
    const { server, files } = setup;
    await using target = await httpTarget(jsonEcho);
    const at: ClientHttpRule["tls"] = end === "server" ? { end } : { end, certificate: files };
    await using tunnel = await startTunnel(server, [{ kind: "http", target: target.address, tls: at }]);
    const { hostname } = tunnel;
    assert.equal(await handshake(server.tlsPort, hostname, ["h2", "http/1.1"]), "http/1.1");
    for (const protocols of [["h2"], ["h2c", "spdy/3"]]) {
      assert.equal(await handshake(server.tlsPort, hostname, protocols), "refused", protocols.join());
    }
  });
}

Deno.test("who says to be a certificate authority gets past no firewall and no password", async () => {
  await using setup = await setUp();
  const { server, files } = setup;
  await using target = await httpTarget(jsonEcho);
  const dropped: ClientHttpRule = {
    ...{ kind: "http", target: target.address, tls: { end: "client", certificate: files } },
    firewall: [{ action: "drop", network: "127.0.0.0/8" }],
  };
  await using closed = await startTunnel(server, [dropped]);
  for (const protocols of [["http/1.1"], ["acme-tls/1"], ["acme-tls/1", "http/1.1"], ["http/1.1", "acme-tls/1"]]) {
    assert.equal(await handshake(server.tlsPort, closed.hostname, protocols), "refused", protocols.join());
  }
  const users = [{ user: "anna", hash: await hashPassword("secret") }];
  const guarded: ClientHttpRule = {
    kind: "http",
    target: target.address,
    tls: dropped.tls!,
    options: { basicAuth: users },
  };
  await using tunnel = await startTunnel(server, [guarded]);
  const { hostname } = tunnel;
  // At both ends: plain HTTP is answered by the server, HTTPS by the client.
  for (const path of ["/", "/.well-known/acme-challenge/token", "/.well-known/acme-challenge/../../x"]) {
    await using plain = await connectTcp(server.httpPort);
    await using secure = await connectTls(server.tlsPort, { servername: hostname });
    for (const wire of [plain, secure]) {
      await wire.send(getHead(hostname, path));
      assert.match((await wire.readToEnd()).text, /^HTTP\/1\.1 401 /, path);
    }
  }
  assert.equal(await handshake(server.tlsPort, hostname, ["acme-tls/1"]), "refused");
});

Deno.test("through the mesh too TLS for one site asks for no other (R39)", async () => {
  await using setup = await setUp();
  const { server } = setup;
  await using target = await httpTarget(jsonEcho);
  const sites = ["one", "two"].map((label): ClientHttpRule => ({
    ...{ kind: "http", domain: `${label}.${DOMAIN}`, target: target.address, tls: { end: "server" } },
  }));
  await using tunnel = await startTunnel(server, sites);
  const [one = "", two = ""] = sites.map(({ domain }) => domain!);
  const [port = 0] = await openDoors(tunnel, portMap(`${one}:443`));
  // The name in TLS is what counts, whatever the stream was opened for: both belong to one owner.
  for (
    const [servername, host, status] of [[one, one, 200], [one, two, 421], [two, two, 200], [two, one, 421]] as const
  ) {
    await using wire = await connectTls(port, { servername });
    await wire.send(getHead(host));
    assert.match((await wire.readToEnd()).text, new RegExp(`^HTTP/1\\.1 ${status} `), `${servername} ${host}`);
  }
});
