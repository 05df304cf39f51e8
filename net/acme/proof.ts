import { createHash } from "node:crypto";
import { AcmeError } from "./acme_error.ts";
import { makeChallengeCertificate } from "./challenge_certificate.ts";
import { type Challenges, isToken } from "./challenges.ts";

/** How a CA can be shown that a name is ours. */
export type ChallengeType = "http-01" | "tls-alpn-01" | "dns-01";

/** One question of a CA. */
export interface ProofRequest {
  readonly type: ChallengeType;
  /** The name without `*.`. */
  readonly name: string;
  readonly token: string;
  /** Token and thumbprint of the account's key (RFC 8555 8.1). */
  readonly keyAuthorization: string;
}

/** Publishes TXT records, by a hook for example. */
export interface DnsPublisher {
  /** Adds the record beside others of its name. Disposing what it gives removes that value again. */
  publish(record: string, value: string, signal: AbortSignal): Promise<AsyncDisposable>;
  /** Settles when name servers give the value. */
  seen(record: string, value: string, signal: AbortSignal): Promise<void>;
}

/** An answer that is in its place until it is disposed. */
export interface Proof extends AsyncDisposable {
  /** Settles when the CA can see it. */
  visible(): Promise<void>;
}

/** Where answers are put. */
export interface ProofPlaces {
  readonly challenges: Challenges;
  readonly dns?: DnsPublisher | undefined;
}

/** Puts the answer to a CA's question in its place. @throws {AcmeError} */
export async function giveProof(places: ProofPlaces, request: ProofRequest, signal: AbortSignal): Promise<Proof> {
  const { type, name, token, keyAuthorization } = request;
  if (!isToken(token)) throw new AcmeError("ACME_REFUSED", "the CA sent a token that is not base64url");
  switch (type) {
    case "http-01":
      return local(places.challenges.setHttp(name, token, keyAuthorization));
    case "tls-alpn-01":
      return local(places.challenges.setTlsAlpn(name, await makeChallengeCertificate(name, keyAuthorization)));
    case "dns-01":
      return await inDns(places.dns, request, signal);
    default:
      return unknownType(type);
  }
}

function unknownType(type: never): never {
  throw new TypeError(`Cannot answer the challenge ${type}`);
}

function local(answer: Disposable): Proof {
  return {
    visible: () => Promise.resolve(),
    [Symbol.asyncDispose]: () => Promise.resolve(answer[Symbol.dispose]()),
  };
}

async function inDns(dns: DnsPublisher | undefined, request: ProofRequest, signal: AbortSignal): Promise<Proof> {
  if (dns === undefined) {
    throw new AcmeError("ACME_CHALLENGE_FAILED", "dns-01 needs a DNS hook, and none is configured");
  }
  const record = `_acme-challenge.${request.name}`;
  const value = createHash("sha256").update(request.keyAuthorization).digest("base64url");
  const published = await dns.publish(record, value, signal);
  return {
    visible: () => dns.seen(record, value, signal),
    [Symbol.asyncDispose]: () => Promise.resolve(published[Symbol.asyncDispose]()),
  };
}
