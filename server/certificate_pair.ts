import { createHash, createPrivateKey, X509Certificate } from "node:crypto";
import { CodedError } from "../protocol/errors.ts";
import type { CertificatePair } from "./options.ts";

/**
 * Checks that certificate and key belong together: a mismatched pair would hang handshakes. Returns the first certificate.
 * `what` names it in the error, a path for example. Expiry is the caller's business.
 * @throws {CodedError} CERTIFICATE_INVALID
 */
export function checkCertificatePair(pair: CertificatePair, what: string = "The certificate"): X509Certificate {
  const leaf = readPem(() => new X509Certificate(pair.certificate), `${what} is not PEM`);
  const key = readPem(() => createPrivateKey(pair.key), `The key of ${what} is not PEM without a password`);
  if (!leaf.checkPrivateKey(key)) throw new CodedError("CERTIFICATE_INVALID", `The key does not belong to ${what}`);
  return leaf;
}

/** The pin of a CA: SHA-256 of its certificate (DER), base64url. `pem` is the certificate, or begins with it. */
export function caPin(pem: string): string {
  return createHash("sha256").update(new X509Certificate(pem).raw).digest("base64url");
}

function readPem<T>(read: () => T, complaint: string): T {
  try {
    return read();
  } catch (error) {
    throw new CodedError("CERTIFICATE_INVALID", complaint, { cause: error });
  }
}
