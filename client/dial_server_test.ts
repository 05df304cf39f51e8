import assert from "node:assert/strict";
import { createHash, X509Certificate } from "node:crypto";
import { type CertificatePair, readCertificatePair } from "../net/certificate.ts";
import type { Bound } from "../net/listen.ts";
import { testCertificate } from "../net/testing/certificate.ts";
import { listenTlsFront } from "../net/tls_front.ts";
import { CodedError } from "../protocol/errors.ts";
import { INTERNAL_SNI } from "../protocol/limits.ts";
import { dialServer } from "./dial_server.ts";
import { fetchPinnedCa } from "./pinned_ca.ts";

Deno.test("dialServer() tells what is wrong with TLS, whatever state the connection is left in", async () => {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const closing = (async () => {
    for await (const conn of listener) conn.close();
  })();
  const address = { hostname: "127.0.0.1", port: listener.addr.port, sni: "server.example" };
  const broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
  for (const ca of [broken, undefined]) {
    await assert.rejects(dialServer({ ...address, ca }), { kind: "SERVER_TLS", message: /"server\.example"/ });
  }
  listener.close();
  await closing;
});

Deno.test("dialServer() tells that nobody listens", async () => {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = listener.addr;
  listener.close();
  const dial = dialServer({ hostname: "127.0.0.1", port, sni: "server.example", ca: undefined });
  await assert.rejects(dial, { kind: "SERVER_UNREACHABLE" });
});

/** A server with a certificate for each name; it notes which were asked for. */
async function serverWith(certificates: Map<string, CertificatePair>, asked: string[]): Promise<Bound> {
  return await listenTlsFront({
    ...{ hostname: "127.0.0.1", port: 0, handshakeMs: 5_000 },
    admit: () => ({ [Symbol.dispose]: () => {} }),
    decide: ({ serverName = "" }) => {
      asked.push(serverName);
      const context = certificates.get(serverName)?.context();
      if (context === undefined) return { kind: "refuse", error: new CodedError("UNKNOWN_HOST") };
      return { kind: "terminate", context, onConnection: ({ duplex }) => duplex.close() };
    },
  });
}

/** The one by the internal name, and one of another authority by the public name. */
async function bothCertificates() {
  const [own, other] = await Promise.all([testCertificate(INTERNAL_SNI), testCertificate("server.example")]);
  const certificates = new Map([
    [INTERNAL_SNI, readCertificatePair(own)],
    ["server.example", readCertificatePair(other)],
  ]);
  return { own, certificates };
}

Deno.test("a server whose public name has a certificate of an unknown authority is reached by the pinned one", async () => {
  const { own, certificates } = await bothCertificates();
  const asked: string[] = [];
  await using server = await serverWith(certificates, asked);
  const address = { hostname: "127.0.0.1", port: server.address.port, sni: "server.example", ca: own.authority };
  (await dialServer(address)).close();
  (await dialServer(address)).close();
  assert.deepEqual(asked, ["server.example", INTERNAL_SNI, INTERNAL_SNI]);
  certificates.delete(INTERNAL_SNI);
  await assert.rejects(dialServer(address), { kind: "SERVER_TLS", message: /"tunnel\.spokes\.internal"/ });
  // Next time all is tried anew, and what the server says by its own name is told.
  await assert.rejects(dialServer(address), { kind: "SERVER_TLS", message: /"server\.example"/ });
});

Deno.test("without a pinned authority, or with a wrong one, only a trusted certificate will do", async () => {
  const { certificates } = await bothCertificates();
  const asked: string[] = [];
  await using server = await serverWith(certificates, asked);
  const address = { hostname: "127.0.0.1", port: server.address.port, sni: "server.example" };
  await assert.rejects(dialServer({ ...address, ca: undefined }), { kind: "SERVER_TLS" });
  assert.deepEqual(asked, ["server.example"]);
  const { authority } = await testCertificate("stranger.test");
  await assert.rejects(dialServer({ ...address, ca: authority }), { kind: "SERVER_TLS", message: /"server\.example"/ });
});

Deno.test("fetchPinnedCa() finds the pinned authority by the internal name too, and no other", async () => {
  const [own, other] = await Promise.all([testCertificate(INTERNAL_SNI), testCertificate("server.example")]);
  const chain = { ...own, certificate: own.certificate + own.authority };
  const certificates = new Map([["server.example", readCertificatePair(other)], [
    INTERNAL_SNI,
    readCertificatePair(chain),
  ]]);
  await using server = await serverWith(certificates, []);
  const address = { hostname: "127.0.0.1", port: server.address.port, sni: "server.example", ca: undefined };
  const { raw } = new X509Certificate(own.authority);
  const ca = await fetchPinnedCa(address, createHash("sha256").update(raw).digest("base64url"));
  assert.deepEqual(new X509Certificate(ca).raw, raw);
  await assert.rejects(fetchPinnedCa(address, "x".repeat(43)), { kind: "PIN_MISMATCH" });
  certificates.delete(INTERNAL_SNI);
  await assert.rejects(fetchPinnedCa(address, "x".repeat(43)), { kind: "PIN_MISMATCH" });
});
