import { type Challenges, challengeToken } from "../net/acme/challenges.ts";
import type { FetchHandler } from "../net/http/fetch_server.ts";

/** Answers the http-01 challenges of a certificate authority (RFC 8555 8.3) from memory, and nothing else. */
export function challengeHandler(challenges: Challenges): FetchHandler {
  return (request) => {
    const { hostname, pathname } = new URL(request.url);
    const token = challengeToken(pathname);
    const answer = token === undefined ? undefined : challenges.httpAnswer(hostname, token);
    if (answer === undefined) return plain("404 Not Found\n", { status: 404, statusText: "Not Found" });
    return plain(answer, { statusText: "OK" });
  };
}

function plain(text: string, init: ResponseInit): Response {
  const headers = { "content-type": "text/plain; charset=utf-8", "content-length": `${text.length}` };
  return new Response(text, { ...init, headers });
}
