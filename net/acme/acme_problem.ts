import type { ErrorName } from "../../protocol/errors.ts";
import { AcmeError } from "./acme_error.ts";

/** What a CA says when something is wrong (RFC 7807, RFC 8555 6.7). */
export interface AcmeProblem {
  /** Without its URN prefix; empty when the CA gives none. */
  readonly type: string;
  readonly detail: string;
}

const URN = "urn:ietf:params:acme:error:";
/** A CA's sentence goes into logs and onto terminals: so much of it is enough. */
const MAX_DETAIL_CHARACTERS = 500;

/** What to do about the types that a person can do something about (RFC 8555 6.7, RFC 9773 7.4). */
const ADVICE: ReadonlyMap<string, string> = new Map([
  ["accountDoesNotExist", "remove the account key to register anew"],
  ["caa", "let the CAA record of the domain allow this CA"],
  ["connection", "let the CA reach port 80 (http-01) or 443 (tls-alpn-01) of the name from the Internet"],
  ["dns", "check the records of the name, and that every name server of its domain answers"],
  ["externalAccountRequired", "configure the key id and HMAC key that the CA gave you"],
  ["incorrectResponse", "check that the name points here and that nothing in front answers instead"],
  ["invalidContact", "configure a working email address"],
  ["rejectedIdentifier", "use a name that this CA issues for"],
  ["tls", "check that the name points here and that nothing in front ends TLS"],
  ["unauthorized", "check that the name points here and that nothing in front answers instead"],
  ["unsupportedContact", "configure a working email address"],
  ["unsupportedIdentifier", "use a name that this CA issues for"],
  ["userActionRequired", "agree to the CA's new terms of service in a browser"],
]);

/** Reads a problem document; something else becomes one without a type. */
export function parseProblem(data: unknown): AcmeProblem {
  const { type, detail, subproblems } = asRecord(data);
  const [first] = Array.isArray(subproblems) ? subproblems.map(asRecord) : [];
  // A compound problem says what is wrong only in its parts.
  const texts = [detail, first?.detail].filter((text) => typeof text === "string" && text !== "");
  return { type: shortType(type), detail: oneLine(texts.join("; ")) };
}

/** The error for an answer of `host` with a failing status. */
export function refusedRequest(
  host: string,
  { status, data, retryAfterMs }: { status: number; data: unknown; retryAfterMs?: number },
): AcmeError {
  const problem = parseProblem(data);
  const kind = kindOf(status, problem.type);
  const verb = { ACME_UNREACHABLE: "is out of order", ACME_RATE_LIMITED: "asks to wait" }[kind as string] ?? "refuses";
  // Said of a request it is about the account, not about a name that points elsewhere.
  const advice = problem.type === "unauthorized" ? "check the account with the CA" : ADVICE.get(problem.type);
  return new AcmeError(kind, `the CA ${host} ${verb}: ${sentence(problem, `status ${status}`, advice)}`, {
    problem: problem.type,
    ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
  });
}

/** The error for a name that the CA could not verify; `error` is that of the challenge. */
export function failedChallenge(name: string, type: string, error: unknown): AcmeError {
  const problem = parseProblem(error);
  const reason = sentence(problem, "the CA gives no reason");
  return new AcmeError("ACME_CHALLENGE_FAILED", `${type} of ${name} failed: ${reason}`, { problem: problem.type });
}

/** What is no type of the RFC, or no word at all, is none. */
function shortType(type: unknown): string {
  const short = typeof type === "string" ? type.replace(URN, "") : "";
  return /^[A-Za-z0-9:._-]{1,64}$/.test(short) ? short : "";
}

function sentence({ type, detail }: AcmeProblem, otherwise: string, advice = ADVICE.get(type)): string {
  const what = detail === "" ? otherwise : detail;
  return `${what}${type === "" ? "" : ` (${type})`}${advice === undefined ? "" : `; ${advice}`}`;
}

function kindOf(status: number, type: string): ErrorName {
  if (type === "rateLimited" || status === 429) return "ACME_RATE_LIMITED";
  return status >= 500 ? "ACME_UNREACHABLE" : "ACME_REFUSED";
}

function oneLine(text: string): string {
  return text.replaceAll(/[^\x20-\x7e]+/g, " ").trim().replace(/\.$/, "").slice(0, MAX_DETAIL_CHARACTERS);
}

function asRecord(value: unknown): Record<string, unknown> {
  return typeof value === "object" && value !== null ? value as Record<string, unknown> : {};
}
