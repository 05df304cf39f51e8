import { INTERNAL_SNI } from "../protocol/limits.ts";
import { parseAddress } from "../net/address.ts";

/** A private key (PKCS #8) and its certificate, PEM. */
export interface SignedCertificate {
  readonly certificate: string;
  readonly key: string;
}

/** Ten years: renewing the CA means a new pin, so new invites; a leaf lives 90 days, as public ones do. */
const CA_LIFE_MS = 3_652 * 24 * 3_600_000;
const LEAF_LIFE_MS = 90 * 24 * 3_600_000;
/** Certificates begin a day in the past, for clients whose clock is behind: small boards start without one. */
const BACKDATE_MS = 24 * 3_600_000;

const ALGORITHM = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" } as const;

/** Makes a CA: P-256, 10 years, for signing leaves only. `now` is ms since the epoch. */
export async function createCa(now: number): Promise<SignedCertificate> {
  const x509 = await loadX509();
  const keys = await crypto.subtle.generateKey(ALGORITHM, true, ["sign", "verify"]);
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    // A name of its own: two CAs with one name confuse whoever meets both.
    name: `CN=spokes CA ${serialNumber().slice(0, 8)}`,
    serialNumber: serialNumber(),
    notBefore: new Date(now - BACKDATE_MS),
    notAfter: new Date(now + CA_LIFE_MS),
    signingAlgorithm: ALGORITHM,
    keys,
    extensions: [
      new x509.BasicConstraintsExtension(true, 0, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  });
  return { certificate: certificate.toString("pem"), key: await exportKey(keys.privateKey) };
}

/** Signs a leaf with a new key for `hostname` (name or address) and the internal name: 90 days, and never longer than the CA. */
export async function signLeaf(ca: SignedCertificate, hostname: string, now: number): Promise<SignedCertificate> {
  const x509 = await loadX509();
  const issuer = new x509.X509Certificate(ca.certificate);
  const signingKey = await crypto.subtle.importKey("pkcs8", decodePem(ca.key), ALGORITHM, false, ["sign"]);
  const keys = await crypto.subtle.generateKey(ALGORITHM, true, ["sign", "verify"]);
  const type = parseAddress(hostname) === null ? "dns" : "ip";
  const certificate = await x509.X509CertificateGenerator.create({
    subject: `CN=${INTERNAL_SNI}`,
    issuer: issuer.subject,
    serialNumber: serialNumber(),
    notBefore: new Date(now - BACKDATE_MS),
    notAfter: new Date(Math.min(now + LEAF_LIFE_MS, issuer.notAfter.getTime())),
    signingAlgorithm: ALGORITHM,
    publicKey: keys.publicKey,
    signingKey,
    extensions: [
      // Said in so many words: rustls refuses a CA as a server certificate.
      new x509.BasicConstraintsExtension(false, undefined, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
      new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.serverAuth]),
      new x509.SubjectAlternativeNameExtension([{ type, value: hostname }, {
        type: "dns",
        value: INTERNAL_SNI,
      }]),
      await x509.AuthorityKeyIdentifierExtension.create(issuer.publicKey),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  });
  return { certificate: certificate.toString("pem"), key: await exportKey(keys.privateKey) };
}

/** 76 ms to load, so only where something is signed; it needs the reflection polyfill first. */
async function loadX509(): Promise<typeof import("@peculiar/x509")> {
  await import("reflect-metadata");
  return await import("@peculiar/x509");
}

/** 127 random bits: positive, and at most the 20 octets of RFC 5280 4.1.2.2. */
function serialNumber(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[0] = (bytes[0]! & 0x7f) | 0x40;
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

async function exportKey(key: CryptoKey): Promise<string> {
  const der = new Uint8Array(await crypto.subtle.exportKey("pkcs8", key));
  const lines = btoa(String.fromCharCode(...der)).match(/.{1,64}/g) ?? [];
  return ["-----BEGIN PRIVATE KEY-----", ...lines, "-----END PRIVATE KEY-----", ""].join("\n");
}

function decodePem(pem: string): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(atob(pem.replaceAll(/-----[^-]+-----|\s/g, "")), (character) => character.charCodeAt(0));
}
