/** The authority key identifier of the example in RFC 9773 4.1, and its serial number. */
const KEY_ID = "69885b6b87464041e1b37b847ba0ae2cde01c8d4";
const SERIAL = "87654321";
/** What the RFC says is the id of such a certificate. */
export const RENEWAL_ID = "aYhba4dGQEHhs3uEe6CuLN4ByNQ.AIdlQyE";

const ALGORITHM = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" } as const;
const DAY_MS = 86_400_000;

/** A certificate with its key in one text that has the id {@link RENEWAL_ID}: valid for 90 days from yesterday. */
export async function identifiedCertificate(name: string): Promise<string> {
  await import("reflect-metadata");
  const x509 = await import("@peculiar/x509");
  const keys = await crypto.subtle.generateKey(ALGORITHM, true, ["sign", "verify"]);
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    serialNumber: SERIAL,
    name: `CN=${name}`,
    notBefore: new Date(Date.now() - DAY_MS),
    notAfter: new Date(Date.now() + 89 * DAY_MS),
    keys,
    signingAlgorithm: ALGORITHM,
    extensions: [
      new x509.SubjectAlternativeNameExtension([{ type: "dns", value: name }]),
      new x509.AuthorityKeyIdentifierExtension(KEY_ID),
    ],
  });
  const pkcs8 = await crypto.subtle.exportKey("pkcs8", keys.privateKey);
  return `${x509.PemConverter.encode(pkcs8, "PRIVATE KEY")}\n${certificate.toString("pem")}\n`;
}
