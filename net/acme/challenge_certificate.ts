import { Buffer } from "node:buffer";
import { createHash, createPrivateKey } from "node:crypto";
import type { ChallengeCertificate } from "./challenges.ts";

/** id-pe-acmeIdentifier (RFC 8737 6.1). */
const ACME_IDENTIFIER = "1.3.6.1.5.5.7.1.31";
/** The DER of an OCTET STRING of 32 bytes begins so. */
const OCTET_STRING_32 = [4, 32];
/** A challenge is looked at within minutes; a day on both sides of now, as clocks differ. */
const DAY_MS = 86_400_000;
const ALGORITHM = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" } as const;

/** Makes the certificate that answers a tls-alpn-01 challenge for `domain` (RFC 8737 3). */
export async function makeChallengeCertificate(
  domain: string,
  keyAuthorization: string,
): Promise<ChallengeCertificate> {
  await import("reflect-metadata");
  const x509 = await import("@peculiar/x509");
  const keys = await crypto.subtle.generateKey(ALGORITHM, true, ["sign", "verify"]);
  const digest = createHash("sha256").update(keyAuthorization).digest();
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    serialNumber: "01",
    name: "CN=ACME challenge",
    notBefore: new Date(Date.now() - DAY_MS),
    notAfter: new Date(Date.now() + DAY_MS),
    keys,
    signingAlgorithm: ALGORITHM,
    extensions: [
      new x509.SubjectAlternativeNameExtension([{ type: "dns", value: domain }]),
      new x509.Extension(ACME_IDENTIFIER, true, Uint8Array.from([...OCTET_STRING_32, ...digest])),
    ],
  });
  const pkcs8 = await crypto.subtle.exportKey("pkcs8", keys.privateKey);
  const key = createPrivateKey({ key: Buffer.from(pkcs8), format: "der", type: "pkcs8" });
  return { certificate: new Uint8Array(certificate.rawData), key };
}
