import type { CertificatePair } from "../certificate.ts";
import { AcmeError } from "./acme_error.ts";
import { type AcmeAccount, AcmeSession } from "./acme_session.ts";
import { issueCertificate, type IssueRequest } from "./issue_certificate.ts";
import type { ChallengeType } from "./proof.ts";

/** An order that may be proven in several ways. */
export interface OrderRequest extends Omit<IssueRequest, "type"> {
  readonly account: AcmeAccount;
  /** Ways to prove the names, tried in this order. */
  readonly types: readonly ChallengeType[];
}

/**
 * Gets a certificate by the first challenge type that works: the next one is tried when the CA does not offer one, or could not
 * see its answer; every other refusal would only be repeated.
 * @throws {AcmeError}
 */
export async function orderCertificate(request: OrderRequest): Promise<CertificatePair> {
  const types = typesFor(request);
  using session = await AcmeSession.open(request.account, request.signal);
  const failures: AcmeError[] = [];
  for (const type of types) {
    try {
      return await issueCertificate(session, { ...request, type });
    } catch (error) {
      request.signal.throwIfAborted();
      if (!(error instanceof AcmeError) || !isAboutProof(error)) throw error;
      failures.push(error);
      request.onStep(`challenge ${type} failed`);
    }
  }
  const [first] = failures;
  if (first === undefined || failures.length === 1) {
    throw first ?? new TypeError("Cannot order without a challenge type");
  }
  throw new AcmeError(first.kind, failures.map(({ message }) => message).join("; "), { cause: failures });
}

/** A wildcard is proven by dns-01 only (RFC 8555 8.4 and the rules of all CAs). */
function typesFor({ names, types }: OrderRequest): readonly ChallengeType[] {
  const wildcards = names.filter((name) => name.startsWith("*."));
  if (wildcards.length === 0) return types;
  if (!types.includes("dns-01")) {
    throw new AcmeError(
      "ACME_CHALLENGE_FAILED",
      `${wildcards.join(", ")} can be proven by dns-01 only; set a DNS hook`,
    );
  }
  return wildcards.length === names.length ? ["dns-01"] : types;
}

function isAboutProof({ kind }: AcmeError): boolean {
  return kind === "ACME_CHALLENGE_FAILED" || kind === "DNS_HOOK_FAILED";
}
