/** A certificate for tests: the authority that signed it, and the pair a server uses. */
export interface TestCertificate {
  /** PEM of the authority. */
  authority: string;
  /** PEM of the leaf. */
  certificate: string;
  /** PEM of its key. */
  key: string;
}

const ALGORITHM = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" } as const;
/** A day on both sides of now: clocks differ. */
const DAY_MS = 86_400_000;

/** Makes an authority and a certificate for the names, both good for a day. */
export function testCertificate(...names: string[]): Promise<TestCertificate> {
  return testCertificateFor(names, { days: 1 });
}

/** Makes an authority and a certificate for the names, both good for so many days from now on. */
export async function testCertificateFor(
  names: readonly string[],
  { days }: { days: number },
): Promise<TestCertificate> {
  await import("reflect-metadata");
  const x509 = await import("@peculiar/x509");
  const validity = { notBefore: new Date(Date.now() - DAY_MS), notAfter: new Date(Date.now() + days * DAY_MS) };
  const authorityKeys = await crypto.subtle.generateKey(ALGORITHM, true, ["sign", "verify"]);
  const authority = await x509.X509CertificateGenerator.createSelfSigned({
    serialNumber: "01",
    name: "CN=Test authority",
    ...validity,
    keys: authorityKeys,
    signingAlgorithm: ALGORITHM,
    extensions: [new x509.BasicConstraintsExtension(true, 1, true)],
  });
  const keys = await crypto.subtle.generateKey(ALGORITHM, true, ["sign", "verify"]);
  const leaf = await x509.X509CertificateGenerator.create({
    serialNumber: "02",
    subject: `CN=${names[0]}`,
    issuer: authority.subject,
    ...validity,
    publicKey: keys.publicKey,
    signingKey: authorityKeys.privateKey,
    signingAlgorithm: ALGORITHM,
    extensions: [
      new x509.BasicConstraintsExtension(false, undefined, true),
      new x509.SubjectAlternativeNameExtension(names.map((value) => ({ type: "dns" as const, value }))),
    ],
  });
  const pkcs8 = await crypto.subtle.exportKey("pkcs8", keys.privateKey);
  return {
    authority: authority.toString("pem"),
    certificate: leaf.toString("pem"),
    key: x509.PemConverter.encode(pkcs8, "PRIVATE KEY"),
  };
}
