import type { Order } from "acme-client";
import { setTimeout as wait } from "node:timers/promises";
import type { CertificatePair } from "../certificate.ts";
import { AcmeError } from "./acme_error.ts";
import { failedChallenge, parseProblem } from "./acme_problem.ts";
import type { AcmeChallenge, AcmeSession } from "./acme_session.ts";
import { checkFor } from "./certificate_files.ts";
import { type ChallengeType, giveProof, type ProofPlaces } from "./proof.ts";

/** One order. */
export interface IssueRequest {
  /** Names of the certificate; a wildcard is proven by dns-01 whatever `type` says. */
  readonly names: readonly string[];
  readonly type: ChallengeType;
  readonly places: ProofPlaces;
  /** The certificate that this one follows, as an ARI id (RFC 9773 4.1). */
  readonly replaces?: string | undefined;
  /** Between looks at what the CA has decided; it doubles up to {@link MAX_POLL_MS}. @default 250 */
  readonly pollMs?: number | undefined;
  readonly now: () => number;
  readonly signal: AbortSignal;
  /** Told what is done, in a few words for a person. */
  readonly onStep: (step: string) => void;
}

/** Most CAs are done in a second or two; it doubles from look to look, so that a slow one is not asked often. */
const FIRST_POLL_MS = 250;
const MAX_POLL_MS = 5_000;
/** Public CAs decide within seconds, some within a minute. */
const MAX_DECISION_MS = 5 * 60_000;

type Authorization = Awaited<ReturnType<AcmeSession["authorizations"]>>[number];

/** Gets a certificate from the CA, with a fresh P-256 key, checked before it is given. @throws {AcmeError} */
export async function issueCertificate(session: AcmeSession, request: IssueRequest): Promise<CertificatePair> {
  request.onStep("ordering");
  const order = await session.order(request.names, request.replaces);
  await prove(session, order, request);
  request.onStep("validated");
  const [key, csr] = await session.library.crypto.createCsr(
    { altNames: [...request.names] },
    await session.library.crypto.createPrivateEcdsaKey("P-256"),
  );
  let current = await session.client.finalizeOrder(order, csr);
  await poll(request, async () => {
    if (current.status === "processing") current = await session.client.getOrder(order);
    if (current.status === "invalid") throw failedOrder(current);
    return current.status === "valid";
  });
  const chain = await session.client.getCertificate(current);
  const text = `${key}\n${chain}`;
  return checkFor(request.names, { text, what: "the certificate that the CA issued", now: request.now() });
}

/** Answers what the CA asks, and waits until it has looked at all of it. */
async function prove(session: AcmeSession, order: Order, request: IssueRequest): Promise<void> {
  const open = (await session.authorizations(order)).filter(({ status }) => status === "pending");
  for (const { identifier: { value: name } } of open) requireOrdered(name, request.names);
  const asked = open.map((authorization) => pick(authorization, request.type));
  await using stack = new AsyncDisposableStack();
  const proofs = [];
  // One after the other: a hook may not be made for two calls at once.
  for (const { name, challenge } of asked) {
    const keyAuthorization = await keyAuthorizationOf(session, challenge);
    const question = { type: challenge.type, name, token: challenge.token, keyAuthorization };
    proofs.push(stack.use(await giveProof(request.places, question, request.signal)));
    request.onStep(`challenge ${challenge.type} ready`);
  }
  await Promise.all(proofs.map((proof) => proof.visible()));
  for (const { challenge } of asked) await session.client.completeChallenge(challenge as never);
  await poll(request, async () => {
    const all = await session.authorizations(order);
    for (const authorization of all) refuseInvalid(authorization);
    return all.every(({ status }) => status === "valid");
  });
}

/** A CA chooses neither for what we answer nor what a DNS hook is called with (security R48). @throws {AcmeError} ACME_REFUSED */
function requireOrdered(name: string, names: readonly string[]): void {
  if (names.includes(name) || names.includes(`*.${name}`)) return;
  throw new AcmeError("ACME_REFUSED", `the CA asks for a proof of ${JSON.stringify(name)}, which was not ordered`);
}

type TypedChallenge = AcmeChallenge & { readonly type: ChallengeType };

/** The challenge to answer. @throws {AcmeError} when the CA does not offer it */
function pick(authorization: Authorization, wanted: ChallengeType): { name: string; challenge: TypedChallenge } {
  const { identifier: { value: name }, wildcard } = authorization;
  const type = wildcard === true ? "dns-01" : wanted;
  const challenge = authorization.challenges.find((offered) => offered.type === type);
  if (challenge !== undefined) return { name, challenge: challenge as TypedChallenge };
  throw new AcmeError("ACME_CHALLENGE_FAILED", `the CA does not offer ${type} for ${name}`);
}

/** The library gives the digest of it for dns-01 alone. */
function keyAuthorizationOf({ client }: AcmeSession, challenge: AcmeChallenge): Promise<string> {
  return client.getChallengeKeyAuthorization({ ...challenge, type: "http-01" } as never);
}

function refuseInvalid({ status, identifier, challenges }: Authorization): void {
  if (status === "pending" || status === "valid") return;
  const failed = challenges.find((challenge) => challenge.error !== undefined);
  throw failedChallenge(identifier.value, failed?.type ?? "the check", failed?.error);
}

function failedOrder({ error }: Order): AcmeError {
  const { type, detail } = parseProblem(error);
  return new AcmeError("ACME_REFUSED", `the CA gave the order up: ${detail || type || "it gives no reason"}`);
}

/** Looks again and again until `done`. @throws {AcmeError} ACME_UNREACHABLE when the CA does not decide */
async function poll({ pollMs = FIRST_POLL_MS, signal }: IssueRequest, done: () => Promise<boolean>): Promise<void> {
  let waited = 0;
  for (let next = pollMs; !(await done()); next = Math.min(next * 2, MAX_POLL_MS)) {
    if (waited > MAX_DECISION_MS) {
      throw new AcmeError("ACME_UNREACHABLE", `the CA did not decide within ${MAX_DECISION_MS / 60_000} minutes`);
    }
    await wait(next, undefined, { signal });
    waited += next;
  }
}
