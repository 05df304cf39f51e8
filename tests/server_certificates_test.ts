import assert from "node:assert/strict";
import { once } from "node:events";
import tls from "node:tls";
import { encodeInvite, parseInvite } from "../mod.ts";
import { testCertificate } from "../net/testing/certificate.ts";
import { INTERNAL_SNI } from "../protocol/limits.ts";
import {
  eventually,
  freePort,
  programTest,
  request,
  run,
  runProgram,
  spawnSpokes,
  startServer,
  startTunnel,
  tempDir,
  type TestTunnel,
} from "./harness.ts";

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

Deno.test("clients that have a pin go on, whatever becomes of tls.certificate", async () => {
  await using state = await tempDir();
  const [first, second] = [await testCertificate(HOSTNAME), await testCertificate("other.localhost")];
  const clients: TestTunnel["identity"][] = [];
  for (const certificate of [undefined, first, second, undefined]) {
    await using server = await startServer({
      stateDir: state.path,
      tls: { hostname: "127.0.0.1", port: 0, ...(certificate === undefined ? {} : { certificate }) },
    });
    const invite = await server.invite();
    for (const sni of [undefined, HOSTNAME]) {
      for (const identity of clients) {
        await using tunnel = await startTunnel(server, [], { identity, ...(sni === undefined ? {} : { sni }) });
        assert.equal((await request(server.httpPort, { host: tunnel.hostname })).status, 200);
      }
    }
    // Who comes anew, by the internal name, and by the public one that shows a private authority's.
    for (const sni of [{}, { sni: HOSTNAME }]) {
      await using tunnel = await startTunnel(server, [], {
        invite: encodeInvite({ ...parseInvite(invite), token: parseInvite(await server.invite()).token, ...sni }),
      });
      clients.push(tunnel.identity);
    }
    assert.equal(
      await issuerOf(server.tlsPort, HOSTNAME),
      certificate === first ? "Test authority" : await issuerOf(server.tlsPort, INTERNAL_SNI),
    );
  }
});

Deno.test("a client enrols with its pin where the public name shows a certificate that everybody trusts", async () => {
  await using folder = await tempDir();
  const { certificate, key, authority } = await testCertificate("localhost");
  await folder.write("fullchain.pem", certificate);
  await Deno.writeTextFile(`${folder.path}/privkey.pem`, key, { mode: 0o600 });
  const roots = await folder.write("roots.pem", authority);
  const files = `certificate: ${folder.path}/fullchain.pem, key: ${folder.path}/privkey.pem`;
  const tlsPort = await freePort();
  await using spokes = await spawnSpokes({
    tlsPort,
    yaml: `hostname: localhost\n`,
    tls: files,
  });
  for (const server of [`localhost:${tlsPort}`, `127.0.0.1:${tlsPort}`]) {
    const invite = encodeInvite({ ...parseInvite(await spokes.invite()), server });
    const config = `${folder.path}/${server.replace(":", "-")}.yaml`;
    for (const args of [["configure", invite], ["info"]]) {
      const done = await runProgram("pktriot", ["--config", config, ...args], {
        env: { DENO_CERT: roots, NODE_EXTRA_CA_CERTS: roots },
      });
      assert.equal(done.code, 0, done.stderr);
    }
  }
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
