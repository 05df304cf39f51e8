import { type CertificatePem, readCertificatePair, validityFault } from "../../net/certificate.ts";

/** What matters of a certificate of the operator's own. */
export interface CertificateFacts {
  kind: "given";
  names: string;
  /** ISO 8601. */
  validTo: string;
}

/**
 * Checks that a certificate and its key can be used together and now.
 * @throws {CodedError} CERTIFICATE_INVALID, CERTIFICATE_EXPIRED
 */
export function checkCertificate(pem: CertificatePem, { path, now }: { path: string; now: number }): CertificateFacts {
  const what = `"${path}"`;
  const pair = readCertificatePair(pem, what);
  const fault = validityFault(pair, { what, now });
  if (fault !== undefined) throw fault;
  const names = [...pair.names, ...pair.addresses].join(", ");
  return { kind: "given", names: names || "no name", validTo: pair.notAfter.toISOString() };
}
