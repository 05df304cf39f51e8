import { createPrivateKey, X509Certificate } from "node:crypto";
import type { CertificatePair } from "../../server/options.ts";
import { CodedError } from "../../protocol/errors.ts";

/** What matters of a certificate of the operator's own. */
export interface CertificateFacts {
  kind: "given";
  names: string;
  /** ISO 8601. */
  validTo: string;
}

/**
 * Checks that a certificate and its key can be used together and now: a mismatched pair would hang handshakes.
 * @throws {CodedError} CERTIFICATE_INVALID
 */
export function checkCertificate({ certificate, key }: CertificatePair, now: number): CertificateFacts {
  const leaf = read("certificate", () => new X509Certificate(certificate));
  const privateKey = read("key", () => createPrivateKey(key));
  if (!leaf.checkPrivateKey(privateKey)) {
    throw new CodedError(
      "CERTIFICATE_INVALID",
      "The key of tls.key does not belong to the certificate of tls.certificate",
    );
  }
  const validTo = new Date(leaf.validTo);
  if (validTo.getTime() <= now) {
    throw new CodedError(
      "CERTIFICATE_INVALID",
      `The certificate of tls.certificate expired on ${validTo.toISOString()}`,
    );
  }
  return { kind: "given", names: leaf.subjectAltName ?? leaf.subject, validTo: validTo.toISOString() };
}

function read<T>(what: "certificate" | "key", action: () => T): T {
  try {
    return action();
  } catch (cause) {
    throw new CodedError("CERTIFICATE_INVALID", `The file of tls.${what} is not PEM that can be used`, { cause });
  }
}
