import assert from "node:assert/strict";
import { createHash, X509Certificate } from "node:crypto";
import { once } from "node:events";
import tls from "node:tls";
import { readKeyPair } from "../net/certificate.ts";
import { CodedError, type ErrorName } from "../protocol/errors.ts";
import { INTERNAL_SNI } from "../protocol/limits.ts";
import {
  type Authority,
  caPin,
  createAuthority,
  loadPin,
  needsRenewal,
  openAuthority,
  renewLeaf,
} from "./authority.ts";

const DAY_MS = 24 * 3_600_000;
const HOSTNAME = "tunnel.example.test";

Deno.test("a client that trusts the CA completes TLS by host name, internal name and address", async () => {
  for (const hostname of [HOSTNAME, "127.0.0.1", "::1"]) {
    const authority = await createAuthority({ hostname });
    await using server = await serveTls(authority);
    for (const name of [hostname, INTERNAL_SNI]) {
      assert.equal(await greetingOf(server.port, name, authority.ca.certificate), "hello");
    }
    await assert.rejects(greetingOf(server.port, "other.example.test", authority.ca.certificate));
    await assert.rejects(greetingOf(server.port, hostname, (await createAuthority({ hostname })).ca.certificate));
    await assert.rejects(greetingOf(server.port, hostname));
  }
});

Deno.test("the chain that is sent holds the pinned CA", async () => {
  const authority = await createAuthority({ hostname: HOSTNAME });
  await using server = await serveTls(authority);
  const socket = tls.connect({ port: server.port, host: "127.0.0.1", servername: HOSTNAME, rejectUnauthorized: false });
  await once(socket, "secureConnect");
  const issuer = socket.getPeerCertificate(true).issuerCertificate.raw;
  assert.equal(createHash("sha256").update(issuer).digest("base64url"), authority.pin);
  assert.equal(caPin(authority.ca.certificate), authority.pin);
  assert.match(authority.pin, /^[A-Za-z0-9_-]{43}$/);
  socket.destroy();
  await once(socket, "close");
});

Deno.test("the CA signs for 10 years, the leaf is no CA and lives 90 days", async () => {
  const now = Date.UTC(2030, 0, 1);
  const authority = await createAuthority({ hostname: HOSTNAME, now });
  const ca = new X509Certificate(authority.ca.certificate);
  const leaf = readKeyPair(authority.pair);
  assert.deepEqual([ca.ca, leaf.ca], [true, false]);
  assert.equal(Date.parse(ca.validTo), now + 3_652 * DAY_MS);
  assert.equal(Date.parse(leaf.validTo), now + 90 * DAY_MS);
  assert.ok(Date.parse(leaf.validFrom) < now);
  assert.equal(leaf.subjectAltName, `DNS:${HOSTNAME}, DNS:${INTERNAL_SNI}`);
  const late = await renewLeaf(authority.ca, { hostname: HOSTNAME, now: now + 3_640 * DAY_MS });
  assert.equal(readKeyPair(late.pair).validTo, ca.validTo);
});

Deno.test("openAuthority() keeps the CA over restarts, in files that only their owner can read", async () => {
  await using folder = await tempFolder();
  assert.equal(await loadPin(folder.path), null);
  const first = await openAuthority(folder.path, { hostname: HOSTNAME });
  const second = await openAuthority(folder.path, { hostname: HOSTNAME });
  assert.deepEqual(second, first);
  assert.equal(await loadPin(folder.path), first.pin);
  const files = [...Deno.readDirSync(folder.path)].map((file) => file.name).sort();
  assert.deepEqual(files, ["authority.pem", "endpoint.pem"]);
  if (Deno.build.os === "windows") return;
  for (const file of files) assert.equal(Deno.statSync(`${folder.path}/${file}`).mode! & 0o777, 0o600);
});

Deno.test("openAuthority() by several processes at once gives one pin", async () => {
  await using folder = await tempFolder();
  const opened = await Promise.all(Array.from({ length: 5 }, () => openAuthority(folder.path, { hostname: HOSTNAME })));
  assert.equal(new Set(opened.map((authority) => authority.pin)).size, 1);
  for (const authority of opened) {
    assert.ok(readKeyPair(authority.pair).verify(new X509Certificate(authority.ca.certificate).publicKey));
  }
  assert.equal([...Deno.readDirSync(folder.path)].length, 2);
});

Deno.test("openAuthority() renews the leaf with a third of its life left, or for another name", async () => {
  await using folder = await tempFolder();
  const now = Date.UTC(2030, 0, 1);
  const first = await openAuthority(folder.path, { hostname: HOSTNAME, now });
  assert.equal(needsRenewal(first, { hostname: HOSTNAME, now: now + 59 * DAY_MS }), false);
  assert.deepEqual(await openAuthority(folder.path, { hostname: HOSTNAME, now: now + 59 * DAY_MS }), first);
  const later = now + 61 * DAY_MS;
  assert.equal(needsRenewal(first, { hostname: HOSTNAME, now: later }), true);
  const renewed = await openAuthority(folder.path, { hostname: HOSTNAME, now: later });
  assert.equal(renewed.pin, first.pin);
  assert.notEqual(renewed.pair.key, first.pair.key);
  assert.deepEqual(await openAuthority(folder.path, { hostname: HOSTNAME, now: later }), renewed);
  const moved = await openAuthority(folder.path, { hostname: "192.0.2.1", now: later });
  assert.equal(readKeyPair(moved.pair).checkIP("192.0.2.1"), "192.0.2.1");
  assert.equal(needsRenewal(moved, { hostname: "192.0.2.1", now: now - 300 * DAY_MS }), true);
});

Deno.test("openAuthority() signs a damaged leaf again, and never replaces a damaged CA", async () => {
  await using folder = await tempFolder();
  const first = await openAuthority(folder.path, { hostname: HOSTNAME });
  const stranger = await createAuthority({ hostname: HOSTNAME });
  for (const text of ["", "garbage", first.pair.key, stranger.pair.key + first.pair.certificate, pemOf(stranger)]) {
    Deno.writeTextFileSync(`${folder.path}/endpoint.pem`, text);
    const opened = await openAuthority(folder.path, { hostname: HOSTNAME });
    assert.equal(opened.pin, first.pin);
    assert.ok(readKeyPair(opened.pair).verify(new X509Certificate(first.ca.certificate).publicKey));
  }
  for (const text of ["", "garbage", stranger.ca.key + first.ca.certificate, pemOf(first)]) {
    Deno.writeTextFileSync(`${folder.path}/authority.pem`, text);
    await assertFails(openAuthority(folder.path, { hostname: HOSTNAME }), "CERTIFICATE_INVALID", folder.path);
    assert.equal(Deno.readTextFileSync(`${folder.path}/authority.pem`), text);
  }
});

Deno.test("openAuthority() refuses a key that others can read, and a folder that is not there", async () => {
  await using folder = await tempFolder();
  await assertFails(
    openAuthority(`${folder.path}/no`, { hostname: HOSTNAME }),
    "STATE_UNAVAILABLE",
    `${folder.path}/no`,
  );
  await openAuthority(folder.path, { hostname: HOSTNAME });
  if (Deno.build.os === "windows") return;
  Deno.chmodSync(`${folder.path}/authority.pem`, 0o640);
  await assertFails(openAuthority(folder.path, { hostname: HOSTNAME }), "STATE_UNAVAILABLE", "authority.pem");
});

function pemOf({ pair }: Authority): string {
  return pair.key + pair.certificate;
}

async function assertFails(work: Promise<unknown>, kind: ErrorName, text: string): Promise<void> {
  await assert.rejects(work, (error) => {
    assert.ok(error instanceof CodedError, String(error));
    assert.equal(error.kind, kind);
    assert.ok(error.message.includes(text), error.message);
    return true;
  });
}

async function serveTls({ pair }: Authority): Promise<AsyncDisposable & { readonly port: number }> {
  const server = tls.createServer({ cert: pair.certificate, key: pair.key }, (socket) => {
    // A client that refuses the certificate resets the connection.
    socket.on("error", () => {});
    socket.end("hello");
  });
  server.on("tlsClientError", (_error, socket) => socket.destroy());
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    port: (server.address() as { port: number }).port,
    async [Symbol.asyncDispose](): Promise<void> {
      server.close();
      await once(server, "close");
    },
  };
}

async function greetingOf(port: number, hostname: string, ca?: string): Promise<string> {
  const conn = await Deno.connect({ hostname: "127.0.0.1", port });
  using secure = await Deno.startTls(conn, { hostname, ...(ca === undefined ? {} : { caCerts: [ca] }) });
  await secure.handshake();
  const buffer = new Uint8Array(16);
  const length = await secure.read(buffer);
  return new TextDecoder().decode(buffer.subarray(0, length ?? 0));
}

async function tempFolder(): Promise<AsyncDisposable & { readonly path: string }> {
  const path = await Deno.makeTempDir();
  return { path, [Symbol.asyncDispose]: () => Deno.remove(path, { recursive: true }) };
}
