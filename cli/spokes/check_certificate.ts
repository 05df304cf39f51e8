import type { CertificatePair } from "../../server/options.ts";
import { checkCertificatePair } from "../../server/certificate_pair.ts";
import { CodedError } from "../../protocol/errors.ts";

/** What matters of a certificate of the operator's own. */
export interface CertificateFacts {
  kind: "given";
  names: string;
  /** ISO 8601. */
  validTo: string;
}

/**
 * Checks that a certificate and its key can be used together and now.
 * @throws {CodedError} CERTIFICATE_INVALID
 */
export function checkCertificate(pair: CertificatePair, options: { path: string; now: number }): CertificateFacts {
  const { path, now } = options;
  const leaf = checkCertificatePair(pair, `"${path}"`);
  const validTo = new Date(leaf.validTo);
  if (validTo.getTime() <= now) {
    throw new CodedError(
      "CERTIFICATE_INVALID",
      `The certificate "${path}" expired on ${validTo.toISOString()}`,
    );
  }
  return { kind: "given", names: leaf.subjectAltName ?? leaf.subject, validTo: validTo.toISOString() };
}
