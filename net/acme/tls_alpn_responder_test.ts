import assert from "node:assert/strict";
import { createHash, X509Certificate } from "node:crypto";
import { connectSocket } from "../testing/socket_pairs.ts";
import { listen } from "../listen.ts";
import { memoryPair } from "../memory_duplex.ts";
import { SocketDuplex } from "../socket_duplex.ts";
import { makeChallengeCertificate } from "./challenge_certificate.ts";
import { programTest } from "../testing/programs.ts";
import { listenTlsAlpn } from "./testing/tls_alpn_listener.ts";
import { answerTlsAlpn, type TlsAlpnOutcome } from "./tls_alpn_responder.ts";

const DOMAIN = "blog.example.com";
const KEY_AUTHORIZATION = "token.thumbprint";

/** What `openssl s_client` says of a connection to the listener. */
async function sClient(port: number, ...args: readonly string[]): Promise<string> {
  const { stdout, stderr } = await new Deno.Command("openssl", {
    args: ["s_client", "-connect", `127.0.0.1:${port}`, "-servername", DOMAIN, ...args],
    stdin: "null",
    signal: AbortSignal.timeout(20_000),
  }).output();
  return new TextDecoder().decode(stdout) + new TextDecoder().decode(stderr);
}

for (
  const [what, args] of [
    ["X25519", []],
    ["P-256 alone", ["-groups", "P-256"]],
    ["a second ClientHello, after a share it cannot use", ["-groups", "P-384:X25519"]],
    ["a second ClientHello, without middlebox compatibility", ["-groups", "P-384:P-256", "-no_middlebox"]],
  ] as const
) {
  programTest(`answerTlsAlpn() completes a handshake of OpenSSL with ${what}`, ["openssl"], async () => {
    const challenge = await makeChallengeCertificate(DOMAIN, KEY_AUTHORIZATION);
    await using listener = await listenTlsAlpn(() => challenge);
    const outcome = listener.next();
    const text = await sClient(listener.port, "-alpn", "acme-tls/1", "-tls1_3", ...args);
    assert.match(text, /ALPN protocol: acme-tls\/1/);
    assert.match(text, /New, TLSv1\.3, Cipher is TLS_AES_128_GCM_SHA256/);
    const [pem = ""] = /-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----/s.exec(text) ?? [];
    const shown = new X509Certificate(pem);
    assert.equal(shown.subjectAltName, `DNS:${DOMAIN}`);
    assert.deepEqual(new Uint8Array(shown.raw), challenge.certificate);
    assert.deepEqual(await outcome, { kind: "answered" });
  });
}

for (
  const [what, args, alert, reason] of [
    ["no TLS 1.3", ["-alpn", "acme-tls/1", "-tls1_2"], /protocol version/, /TLS 1\.3/],
    ["another protocol", ["-alpn", "http/1.1"], /no application protocol/, /acme-tls/],
    ["no group we speak", ["-alpn", "acme-tls/1", "-groups", "P-384"], /handshake failure/, /neither X25519/],
    [
      "no cipher we speak",
      ["-alpn", "acme-tls/1", "-ciphersuites", "TLS_AES_256_GCM_SHA384"],
      /handshake failure/,
      /AES_128/,
    ],
    ["RSA signatures alone", ["-alpn", "acme-tls/1", "-sigalgs", "RSA-PSS+SHA256"], /handshake failure/, /ECDSA/],
  ] as const
) {
  programTest(`answerTlsAlpn() refuses ${what} with an alert`, ["openssl"], async () => {
    const challenge = await makeChallengeCertificate(DOMAIN, KEY_AUTHORIZATION);
    await using listener = await listenTlsAlpn(() => challenge);
    const outcome = listener.next();
    assert.match(await sClient(listener.port, ...args), new RegExp(`alert ${alert.source}`, "i"));
    const { kind, ...rest } = await outcome;
    assert.equal(kind, "refused");
    assert.match((rest as { reason: string }).reason, reason);
  });
}

Deno.test("the challenge certificate carries the digest in a critical extension, as RFC 8737 asks", async () => {
  const { certificate, key } = await makeChallengeCertificate(DOMAIN, KEY_AUTHORIZATION);
  const parsed = new X509Certificate(certificate);
  assert.ok(parsed.checkPrivateKey(key));
  const digest = createHash("sha256").update(KEY_AUTHORIZATION).digest("hex");
  // OID 1.3.6.1.5.5.7.1.31, critical, OCTET STRING { OCTET STRING of 32 bytes }.
  assert.ok(parsed.raw.toString("hex").includes(`06082b0601050507011f0101ff04220420${digest}`));
});

programTest(
  "answerTlsAlpn() works on a socket whose ClientHello was read to decide, and put back",
  ["openssl"],
  async () => {
    const challenge = await makeChallengeCertificate(DOMAIN, KEY_AUTHORIZATION);
    const outcome = Promise.withResolvers<TlsAlpnOutcome>();
    await using bound = await listen({ hostname: "127.0.0.1", port: 0 }, (socket) => {
      socket.once("readable", () => {
        socket.unshift(socket.read());
        answerTlsAlpn(new SocketDuplex(socket), { challenge }).then(outcome.resolve);
      });
    });
    assert.match(await sClient(bound.address.port, "-alpn", "acme-tls/1"), /ALPN protocol: acme-tls\/1/);
    assert.deepEqual(await outcome.promise, { kind: "answered" });
  },
);

Deno.test("answerTlsAlpn() survives a ClientHello that comes byte by byte, and one that is cut", async () => {
  const challenge = await makeChallengeCertificate(DOMAIN, KEY_AUTHORIZATION);
  for (
    const [bytes, reason] of [
      [Uint8Array.of(22, 3, 1, 0, 4, 1, 0, 0), /left before/],
      [Uint8Array.of(22, 3, 1, 0, 5, 1, 0, 0, 1, 0), /not well formed/],
      [Uint8Array.of(22, 3, 1, 0, 4, 2, 0, 0, 0), /not a ClientHello/],
      [Uint8Array.of(22, 3, 1, 0, 4, 1, 255, 0, 0), /too large/],
      [Uint8Array.of(22, 3, 1, 0, 0), /no valid length/],
      [new TextEncoder().encode("GET / HTTP/1.1\r\n"), /Something else/],
    ] as const
  ) {
    const [ours, theirs] = memoryPair({ maxRead: 1 });
    await theirs.write(bytes);
    await theirs.closeWrite();
    const outcome = await answerTlsAlpn(ours, { challenge });
    assert.equal(outcome.kind, "refused");
    assert.match(outcome.kind === "refused" ? outcome.reason : "", reason);
    theirs.close();
  }
});

Deno.test("answerTlsAlpn() gives a silent peer up at its deadline", async () => {
  const challenge = await makeChallengeCertificate(DOMAIN, KEY_AUTHORIZATION);
  const [ours, theirs] = memoryPair();
  const outcome = await answerTlsAlpn(ours, { challenge, timeoutMs: 1 });
  assert.equal(outcome.kind, "refused");
  theirs.reset();
});

Deno.test("answerTlsAlpn() takes a peer that is gone at once", async () => {
  const challenge = await makeChallengeCertificate(DOMAIN, KEY_AUTHORIZATION);
  await using listener = await listenTlsAlpn(() => challenge);
  const outcome = listener.next();
  const duplex = SocketDuplex.plain(await connectSocket(listener.port));
  duplex.reset();
  assert.equal((await outcome).kind, "refused");
});
