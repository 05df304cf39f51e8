import assert from "node:assert/strict";
import { once } from "node:events";
import tls from "node:tls";
import { encodeInvite, parseInvite } from "../mod.ts";
import { testCertificate } from "../net/testing/certificate.ts";
import { INTERNAL_SNI } from "../protocol/limits.ts";
import { eventually, programTest, request, run, startServer, startTunnel, tempDir } from "./harness.ts";

const HOSTNAME = "tunnels.localhost";

/** Who the certificate that is shown for a name is from. */
async function issuerOf(port: number, servername: string): Promise<string> {
  const socket = tls.connect({ host: "127.0.0.1", port, servername, rejectUnauthorized: false });
  try {
    await once(socket, "secureConnect");
    return String(socket.getPeerCertificate().issuer.CN);
  } finally {
    socket.destroy();
  }
}

Deno.test("a certificate put into the folder is shown for its name, and open connections go on", async () => {
  await using folder = await tempDir();
  await using server = await startServer({ certificatesDir: folder.path });
  assert.match(await issuerOf(server.tlsPort, HOSTNAME), /^spokes CA/);
  await using tunnel = await startTunnel(server);
  const { certificate, key } = await testCertificate(HOSTNAME);
  await Deno.writeTextFile(`${folder.path}/a.pem`, certificate + key, { mode: 0o600 });
  await eventually(
    async () => await issuerOf(server.tlsPort, HOSTNAME) === "Test authority" || undefined,
    "the new certificate to be shown",
  );
  assert.match(await issuerOf(server.tlsPort, INTERNAL_SNI), /^spokes CA/);
  const domain = await tunnel.http(() => new Response("still here"));
  assert.equal((await request(server.httpPort, { host: domain })).text, "still here");
  assert.deepEqual(tunnel.events.filter(({ kind }) => kind === "disconnected"), []);
  // A name without a certificate is refused with an alert (R38).
  await assert.rejects(issuerOf(server.tlsPort, "other.localhost"));
});

Deno.test("a client enrols with its pin and works, though the public name has a certificate that it does not know", async () => {
  await using folder = await tempDir();
  const { certificate, key } = await testCertificate(HOSTNAME);
  await Deno.writeTextFile(`${folder.path}/a.pem`, certificate + key, { mode: 0o600 });
  await using server = await startServer({ certificatesDir: folder.path });
  const invite = encodeInvite({ ...parseInvite(await server.invite()), sni: HOSTNAME });
  await using tunnel = await startTunnel(server, [], { invite });
  const domain = await tunnel.http(() => new Response("through"));
  assert.equal((await request(server.httpPort, { host: domain })).text, "through");
});

programTest("curl trusts the operator's certificate for the endpoint's name", ["curl"], async () => {
  await using folder = await tempDir();
  const { certificate, key, authority } = await testCertificate(HOSTNAME);
  await Deno.writeTextFile(`${folder.path}/fullchain.pem`, certificate + authority);
  await Deno.writeTextFile(`${folder.path}/privkey.pem`, key, { mode: 0o600 });
  const ca = await folder.write("ca.txt", authority);
  await using server = await startServer({ certificatesDir: folder.path });
  const { code, stderr } = await run("curl", [
    ...["-sS", "-o", "/dev/null", "--cacert", ca, "--connect-to", `::127.0.0.1:${server.tlsPort}`],
    `https://${HOSTNAME}/`,
  ]);
  assert.equal(code, 0, stderr);
});
