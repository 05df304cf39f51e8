import { type CertificatePair, validityFault } from "../../net/certificate.ts";

/** What matters of a certificate of the operator's own. */
export interface CertificateFacts {
  kind: "given";
  names: string;
  /** ISO 8601. */
  validTo: string;
}

/**
 * Checks that a certificate can be used now.
 * @throws {CodedError} CERTIFICATE_INVALID, CERTIFICATE_EXPIRED
 */
export function checkCertificate(
  pair: CertificatePair,
  { path, now }: { path: string; now: number },
): CertificateFacts {
  const what = `"${path}"`;
  const fault = validityFault(pair, { what, now });
  if (fault !== undefined) throw fault;
  const names = [...pair.names, ...pair.addresses].join(", ");
  return { kind: "given", names: names || "no name", validTo: pair.notAfter.toISOString() };
}
