import { type Challenges, challengeToken } from "../../net/acme/challenges.ts";
import type { EdgeAnswer } from "../../net/http/proxy/edge_answer.ts";
import type { RouteDecision, RoutedRequest } from "../../net/http/proxy/http_context.ts";
import { HttpUpstreams } from "../http_upstreams.ts";
import type { Router } from "../router.ts";

/** What answering challenges needs. */
export interface ChallengeParts {
  router: Router;
  /** The answers for names whose certificates the server gets itself. */
  challenges: Challenges;
  /** Whether the server sees to the certificate of a name whose rule does not say who does. */
  manages: (name: string) => boolean;
}

/**
 * The answer to a certificate authority that asks over plain HTTP whether a name is ours (RFC 8555 8.3): from memory for a name whose
 * certificate the server gets, from the client for a rule that says so; a target is asked only where it, or the client with files of its
 * own, ends TLS, or where nobody does. Neither firewall nor redirect stands before it: there is nothing
 * to see but what the authority was told already. `undefined` when the request is an ordinary one.
 */
export function acmeChallenge({ host, head }: RoutedRequest, parts: ChallengeParts): RouteDecision | undefined {
  const token = challengeToken(head.target);
  if (token === undefined) return undefined;
  const own = parts.challenges.httpAnswer(host, token);
  if (own !== undefined) return { kind: "answer", answer: text(200, "OK", own) };
  // A private rule may have a certificate like any other.
  const found = parts.router.find(host);
  if (found?.rule.kind !== "http") return undefined;
  const { tls, acme, private: isPrivate } = found.rule;
  if (acme === true) return { kind: "found", route: new HttpUpstreams(found, "acme").route() };
  // That there is one is not for visitors to know.
  if (isPrivate === true) return undefined;
  // Else whoever may put a file into the target could get a certificate for the name.
  const isManaged = tls === "server" || (tls === undefined && parts.manages(host));
  return isManaged ? { kind: "answer", answer: text(404, "Not Found", "There is no such challenge\n") } : undefined;
}

function text(status: number, reason: string, body: string): EdgeAnswer {
  const fields = [["Content-Type", "text/plain; charset=utf-8"], ["Cache-Control", "no-store"]] as const;
  return { status, reason, fields, body };
}
