import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import tls from "node:tls";
import { type CodedError, connect, createChild, encodeInvite, enrol, parseInvite } from "../mod.ts";
import { testCertificate } from "../net/testing/certificate.ts";
import { INTERNAL_SNI } from "../protocol/limits.ts";
import {
  CapturedLog,
  connectTcp,
  eventually,
  freePort,
  request,
  startServer,
  startTunnel,
  tcpTarget,
  within,
} from "./harness.ts";
import { dialData, dialEndpoint, RawClient } from "./harness/raw_client.ts";

async function errorOf(work: Promise<unknown>): Promise<CodedError> {
  const error = await within(work.then(() => undefined, (reason) => reason), "a refusal");
  assert.ok(error !== undefined, "it was not refused");
  return error;
}

/** The answer of a door to these bytes. */
async function door(port: number, ca: string | undefined, text: string): Promise<string> {
  const connection = await dialEndpoint(port, { ca });
  let answer = "";
  try {
    await connection.write(Buffer.from(text));
    await connection.closeWrite();
    for (let bytes = await connection.read(); bytes !== null; bytes = await connection.read()) {
      answer += Buffer.from(bytes).toString();
    }
  } catch {
    // What was said before the end is what counts.
  }
  connection.close();
  return answer;
}

Deno.test("no token, secret or credential is ever logged, counted, answered or shown (R23)", async () => {
  const secrets: string[] = [];
  await using server = await startServer({ limits: { resumeMs: 100 } });
  const invite = parseInvite(await server.invite({ uses: 3 }));
  secrets.push(invite.token);
  await using tunnel = await startTunnel(server, [], { invite: encodeInvite(invite) });
  secrets.push(tunnel.identity.token);
  const clientLog = new CapturedLog();
  const answers: string[] = [];

  // What goes well.
  const child = { ...await createChild(tunnel.address, tunnel.identity.token), ca: tunnel.address.ca! };
  const { token: rotated } = await tunnel.tunnel.request("token.rotate", {});
  secrets.push(child.token, rotated);
  await (await connect({ ...tunnel.address, token: rotated, role: "use", logger: clientLog })).stop();
  await tunnel.http(`127.0.0.1:${await freePort()}`);
  answers.push((await request(server.httpPort, { host: tunnel.hostname })).text);

  // What goes wrong.
  const raw = await RawClient.dial(server.tlsPort, child);
  const welcome = await raw.join();
  secrets.push(welcome.secret);
  const broken = await dialData(server.tlsPort, child, { credential: `${welcome.session}.${welcome.secret}` });
  await broken.transport.write(new Uint8Array(100));
  await raw.ended();
  broken.transport.close();
  await raw[Symbol.asyncDispose]();
  for (const secret of [...secrets]) {
    const wrong = `${secret.slice(0, -5)}AAAAA`;
    secrets.push(wrong);
    for (const token of [wrong, secret]) {
      answers.push(
        await door(
          server.tlsPort,
          tunnel.address.ca,
          [
            `GET /tunnel/v1/control HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n`,
            `Authorization: Bearer ${token}\r\nX-Again: ${token}\r\n\r\n`,
          ].join(""),
        ),
        await door(
          server.tlsPort,
          tunnel.address.ca,
          [
            `POST /tunnel/v1/${token} HTTP/1.1\r\nHost: x\r\nAuthorization: Basic ${token}\r\nContent-Length: 2\r\n\r\n{`,
            token,
          ].join(""),
        ),
      );
    }
    const error = await errorOf(connect({
      ...tunnel.address,
      token: wrong,
      once: true,
      logger: clientLog,
      onEvent: (event) => answers.push(JSON.stringify(event)),
    }));
    answers.push(`${error.message} ${error.stack} ${error.cause}`);
  }
  answers.push(await (await fetch(`http://127.0.0.1:${server.adminPort}/metrics`)).text());
  answers.push(...[server.log, tunnel.log, clientLog].map((log) => JSON.stringify(log.entries)));
  assert.ok(server.log.entries.length > 10 && secrets.length >= 10);
  // The welcome that our own client got is for its memory, and the events hand it on to whoever embeds it.
  for (const text of answers) {
    for (const secret of secrets) {
      const part = secret.slice(-24);
      assert.ok(!text.includes(part), `${part} in ${text.slice(Math.max(0, text.indexOf(part) - 200), 400)}`);
    }
  }
});

Deno.test("a client trusts its server by name and certificate, and sends nothing to another (R10)", async () => {
  await using server = await startServer();
  await using impostor = await startServer();
  await using tunnel = await startTunnel(server);
  const invite = parseInvite(await server.invite());
  const other = parseInvite(await impostor.invite());
  assert.equal((await errorOf(enrol({ ...invite, server: other.server }, invite.token))).kind, "PIN_MISMATCH");
  const fooled = connect({ ...tunnel.address, server: other.server, token: tunnel.identity.token, once: true });
  assert.equal((await errorOf(fooled)).kind, "SERVER_TLS");
  const { ca: _, ...unpinned } = tunnel.address;
  assert.equal((await errorOf(connect({ ...unpinned, token: tunnel.identity.token, once: true }))).kind, "SERVER_TLS");
  const place = { server: other.server, sni: "tunnels.example" };
  const renamed = connect({ ...tunnel.address, ...place, token: tunnel.identity.token, once: true });
  assert.equal((await errorOf(renamed)).kind, "SERVER_TLS");
  assert.equal(await impostor.metric("spokes_credential_failures_total"), 0, "no token reached the impostor");
});

Deno.test("a pinned authority must have signed what the server shows, not only be shown by it", async () => {
  await using server = await startServer();
  const invite = parseInvite(await server.invite());
  // An impostor who shows the server's own CA behind a certificate of his own: the pin matches, the chain does not.
  const shown = await presented(server.tlsPort);
  const own = await testCertificate(INTERNAL_SNI);
  const context = { cert: own.certificate + shown, key: own.key };
  const asked: string[] = [];
  await using trap = await tcpTarget((wire) => {
    const secure = new tls.TLSSocket(wire.socket, { isServer: true, ...context });
    secure.on("data", (bytes) => asked.push(bytes.toString()));
    secure.on("error", () => wire.socket.destroy());
    return Promise.resolve();
  });
  const kind = (await errorOf(enrol({ ...invite, server: trap.address }, invite.token))).kind;
  assert.ok(kind === "SERVER_TLS" || kind === "PIN_MISMATCH" || kind === "SERVER_UNREACHABLE", kind);
  assert.deepEqual(asked, []);
});

/** The authority that a server shows in its chain, PEM. */
async function presented(port: number): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  const socket = tls.connect({ host: "127.0.0.1", port, servername: INTERNAL_SNI, rejectUnauthorized: false });
  socket.once("error", reject);
  socket.once("secureConnect", () => {
    const { issuerCertificate } = socket.getPeerCertificate(true);
    resolve(`-----BEGIN CERTIFICATE-----\n${issuerCertificate.raw.toString("base64")}\n-----END CERTIFICATE-----\n`);
    socket.destroy();
  });
  return await within(promise, "the server's certificate");
}

Deno.test("there is no default host behind TLS: a foreign or missing name gets an alert (R38)", async () => {
  await using server = await startServer();
  for (const servername of ["other.example", "", "localhost"]) {
    const { promise, resolve } = Promise.withResolvers<string>();
    const socket = tls.connect({
      ...{ host: "127.0.0.1", port: server.tlsPort, rejectUnauthorized: false },
      ...(servername === "" ? {} : { servername }),
    });
    socket.once("secureConnect", () => resolve("a handshake"));
    socket.once("error", () => resolve("refused"));
    socket.once("close", () => resolve("refused"));
    assert.equal(await within(promise, "an end"), "refused", servername);
    socket.destroy();
  }
  // The alert itself: fatal, unrecognized_name.
  await using wire = await connectTcp(server.tlsPort);
  await wire.send(helloWithoutName());
  const { bytes } = await wire.readToEnd();
  assert.deepEqual([...bytes], [21, 3, 3, 0, 2, 2, 112]);
});

/** The smallest ClientHello without a name. */
function helloWithoutName(): Uint8Array {
  const body = [3, 3, ...new Array(32).fill(7), 0, 0, 2, 0x13, 0x01, 1, 0];
  return new Uint8Array([22, 3, 1, 0, body.length + 4, 1, 0, 0, body.length, ...body]);
}

Deno.test("a ClientHello that never ends is not collected without end (R33)", async () => {
  await using server = await startServer();
  await using wire = await connectTcp(server.tlsPort);
  // A handshake of 64 KiB in records of 1 KiB.
  const record = new Uint8Array([22, 3, 1, 4, 0, ...new Uint8Array(1024)]);
  const first = record.slice();
  first.set([1, 1, 0, 0, 3, 3], 5);
  let sent = 0;
  try {
    await wire.send(first);
    for (; sent < 64; sent++) await wire.send(record);
  } catch {
    // It has been cut already.
  }
  const { bytes } = await wire.readToEnd();
  assert.ok(bytes.length === 0 || bytes[0] === 21, "an alert or a cut");
});

Deno.test("wrong credentials get one answer, whatever is wrong about them (R47)", async () => {
  await using server = await startServer();
  await using tunnel = await startTunnel(server);
  const { token } = tunnel.identity;
  const unknown = token.replace(/_[a-z0-9]+_/, `_${"0".repeat(32)}_`);
  const wrongs = [unknown, `${token.slice(0, -4)}AAAA`, "spk_tunnel_short", "nonsense"];
  const answers = new Set<string>();
  for (const wrong of wrongs.slice(0, 3)) {
    const answer = await door(
      server.tlsPort,
      tunnel.address.ca,
      `GET /tunnel/v1/control HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nAuthorization: Bearer ${wrong}\r\n\r\n`,
    );
    answers.add(answer.replace(/^date:.*\r\n/im, ""));
  }
  assert.equal(answers.size, 1, [...answers].join("\n"));
  assert.match([...answers][0]!, /^HTTP\/1\.1 401 /);
});

Deno.test("every door refuses who proves nothing, before anything else is looked at (R8, R24, R46)", async () => {
  await using server = await startServer();
  await using tunnel = await startTunnel(server);
  const { ca } = tunnel.address;
  const upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n" +
    "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Protocol: spokes.v1\r\n";
  const cases: [text: string, status: number][] = [
    [`GET /tunnel/v1/control HTTP/1.1\r\nHost: x\r\n${upgrade}\r\n`, 401],
    [`GET /tunnel/v1/data?opener=server HTTP/1.1\r\nHost: x\r\n${upgrade}\r\n`, 401],
    ["POST /tunnel/v1/enrol HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}", 401],
    ["POST /tunnel/v1/child HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}", 401],
    ["POST /tunnel/v1/enrol HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000000\r\n\r\n{}", 413],
    ["GET /tunnel/v1/enrol HTTP/1.1\r\nHost: x\r\n\r\n", 426],
    ["GET / HTTP/1.1\r\nHost: x\r\n\r\n", 426],
    ["GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n", 426],
    [`GET /tunnel/v1/other HTTP/1.1\r\nHost: x\r\n${upgrade}\r\n`, 426],
    [`GET /tunnel/v1/control HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${"a".repeat(9000)}\r\n${upgrade}\r\n`, 401],
  ];
  for (const [text, status] of cases) {
    const answer = await door(server.tlsPort, ca, text);
    assert.equal(answer.slice(0, 13), `HTTP/1.1 ${status} `, text.slice(0, 120));
    assert.doesNotMatch(answer, /upgrade: websocket/i);
  }
  assert.equal(await server.metric("spokes_sessions"), 1);
});

Deno.test("a right token with a wrong handshake is refused, and the connection let go", async () => {
  await using server = await startServer();
  await using tunnel = await startTunnel(server);
  const bearer = `Authorization: Bearer ${tunnel.identity.token}\r\n`;
  for (
    const fields of [
      "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n",
      "Upgrade: websocket\r\nSec-WebSocket-Version: 8\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Protocol: spokes.v1\r\n",
      "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: short\r\nSec-WebSocket-Protocol: spokes.v1\r\n",
      "Upgrade: h2c\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Protocol: spokes.v1\r\n",
    ]
  ) {
    const text = `GET /tunnel/v1/control HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\n${bearer}${fields}\r\n`;
    assert.match(await door(server.tlsPort, tunnel.address.ca, text), /^HTTP\/1\.1 426 /, fields);
  }
  await eventually(async () => await server.metric("spokes_sessions") === 1, "only the tunnel's own session");
});
