import { type Challenges, challengeToken } from "../net/acme/challenges.ts";
import type { FetchHandler } from "../net/http/fetch_server.ts";

/** Answers the http-01 challenges of a certificate authority (RFC 8555 8.3) from memory, and nothing else. */
export function challengeHandler(challenges: Challenges): FetchHandler {
  return (request) => {
    const { hostname, pathname } = new URL(request.url);
    const token = challengeToken(pathname);
    const answer = token === undefined ? undefined : challenges.httpAnswer(hostname, token);
    if (answer === undefined) return new Response("404 Not Found\n", { status: 404, statusText: "Not Found" });
    return new Response(answer, { statusText: "OK", headers: { "content-type": "application/octet-stream" } });
  };
}
