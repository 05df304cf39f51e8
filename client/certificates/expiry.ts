import { type CertificatePair, expiresSoon, isExpired } from "../../net/certificate.ts";
import { CodedError } from "../../protocol/errors.ts";

/** What is to be said about the time that a certificate in use has left; undefined when that is long enough. */
export function expiryWarning(
  pair: Pick<CertificatePair, "notBefore" | "notAfter">,
  now: number = Date.now(),
): CodedError | undefined {
  const { notAfter } = pair;
  if (isExpired(pair, now)) {
    return new CodedError(
      "CERTIFICATE_EXPIRED",
      `The certificate expired on ${notAfter.toISOString()}, so browsers refuse it; it is served all the same while the client runs`,
    );
  }
  if (!expiresSoon(pair, now)) return undefined;
  return new CodedError("CERTIFICATE_EXPIRING", `The certificate expires on ${notAfter.toISOString()}`);
}

/** Something else that is amiss, and the time that is left where that makes it worse. */
export function withExpiry(trouble: CodedError, expiry: CodedError | undefined): CodedError {
  return expiry === undefined ? trouble : new CodedError(trouble.kind, `${trouble.message}. ${expiry.message}`);
}
