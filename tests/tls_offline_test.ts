import assert from "node:assert/strict";
import type { ClientHttpRule } from "../mod.ts";
import { testCertificate } from "../net/testing/certificate.ts";
import {
  connectTcp,
  freePort,
  programTest,
  request,
  run,
  startServer,
  startTunnel,
  tempDir,
  type TestServer,
  type TestTunnel,
} from "./harness.ts";
import { certificateFolder, connectTls, helloFor } from "./harness/tls.ts";

const DOMAIN = "tunnels.localhost";
/** A fatal `unrecognized_name` alert, as it is on the wire. */
const ALERT = "15 03 03 00 02 02 70";

/** What the server's TLS port says to somebody who asks for a name, in hexadecimal. */
async function answerTo(server: TestServer, name: string): Promise<string> {
  await using wire = await connectTcp(server.tlsPort);
  await wire.send(await helloFor(name));
  const bytes = await wire.read();
  return [...bytes?.subarray(0, 7) ?? []].map((byte) => byte.toString(16).padStart(2, "0")).join(" ");
}

programTest(
  "openssl: a name whose TLS ends elsewhere is never shown the server's certificate while its tunnel is away",
  [
    "openssl",
  ],
  async () => {
    await using folder = await tempDir();
    await using state = await tempDir();
    await using certificates = await certificateFolder();
    await certificates.put("wildcard.pem", `*.${DOMAIN}`);
    const { certificate, key } = await testCertificate(`blog.${DOMAIN}`, `*.${DOMAIN}`);
    const files = {
      certificateFile: await folder.write("fullchain.pem", certificate),
      keyFile: await folder.write("privkey.pem", key),
    };
    const target = () => new Response("hello");
    const [blog, shop, acme, plain, atServer] = ["blog", "shop", "acme", "plain", "server"].map((label) =>
      `${label}.${DOMAIN}`
    );
    const elsewhere: ClientHttpRule[] = [
      { kind: "http", domain: blog!, target, tls: { end: "client", certificate: files } },
      { kind: "http", domain: shop!, target, tls: { end: "target", target: `127.0.0.1:${await freePort()}` } },
      { kind: "http", domain: acme!, target, tls: { end: "client", certificate: "acme" } },
    ];
    const here: ClientHttpRule[] = [
      { kind: "http", domain: plain!, target },
      { kind: "http", domain: atServer!, target, tls: { end: "server" } },
    ];
    const options = { certificatesDir: certificates.path, stateDir: state.path };
    const acmeOptions = { acme: { folder: folder.path, directory: "https://127.0.0.1:1/directory" } };

    async function assertSealed(server: TestServer, names: readonly string[]): Promise<void> {
      for (const name of names) {
        assert.equal(await answerTo(server, name), ALERT, name);
        const { stdout } = await run("openssl", [
          ...["s_client", "-connect", `127.0.0.1:${server.tlsPort}`, "-servername", name],
        ], { stdin: "GET / HTTP/1.1\r\n\r\n" });
        assert.match(stdout, /no peer certificate available/, name);
        // Who is asked in the open can only say that nobody is there.
        assert.equal((await request(server.httpPort, { host: name })).status, 503);
      }
    }
    async function assertOpen(server: TestServer, names: readonly string[]): Promise<void> {
      for (const name of names) {
        await using wire = await connectTls(server.tlsPort, { servername: name });
        assert.equal((await request(0, { host: name, wire })).status, 503, name);
      }
    }

    let identity: TestTunnel["identity"];
    {
      await using server = await startServer(options);
      await using tunnel = await startTunnel(server, [...elsewhere, ...here], acmeOptions);
      identity = tunnel.identity;
      assert.deepEqual(tunnel.states.filter(({ state }) => state !== "active"), []);
      await tunnel.tunnel.stop();
      await assertSealed(server, [blog!, shop!, acme!]);
      await assertOpen(server, [plain!, atServer!, tunnel.hostname]);
    }
    await using server = await startServer(options);
    await assertSealed(server, [blog!, shop!, acme!]);
    await assertOpen(server, [plain!, atServer!]);
    {
      // The owner lets the server end it, has no rule any more, and gives the name up (which a new order would claim again).
      const ordered: ClientHttpRule = { ...elsewhere[2]!, tls: { end: "client", certificate: files } };
      await using tunnel = await startTunnel(server, [{ kind: "http", domain: blog!, target }, ordered], { identity });
      await using wire = await connectTls(server.tlsPort, { servername: blog! });
      assert.equal((await request(0, { host: blog!, wire })).text, "hello");
      await tunnel.tunnel.request("name.release", { domain: acme! });
    }
    await assertOpen(server, [blog!, shop!]);
    assert.equal((await request(server.httpPort, { host: acme! })).status, 404);
    assert.equal(await answerTo(server, acme!), ALERT);
  },
);

Deno.test("a connection whose TLS was ended at the server reads nothing of a rule that ends it elsewhere now", async () => {
  await using certificates = await certificateFolder();
  await certificates.put("wildcard.pem", `*.${DOMAIN}`);
  await using server = await startServer({ certificatesDir: certificates.path });
  await using tunnel = await startTunnel(server);
  const host = await tunnel.http(() => new Response("hello"));
  await using wire = await connectTls(server.tlsPort, { servername: host });
  assert.equal((await request(0, { host, wire })).text, "hello");
  await tunnel.http(() => new Response("hello"), { tls: { end: "target", target: `127.0.0.1:${await freePort()}` } });
  assert.equal((await request(0, { host, wire })).status, 421);
});
