import type { EdgeAnswer } from "../../net/http/proxy/edge_answer.ts";
import type { RequestHead } from "../../protocol/http/head.ts";

/** The port that a browser does not show. */
const HTTPS_PORT = 443;

/** Where HTTPS is, and whether it works: if not, no browser may remember that it was sent there. */
export interface HttpsRedirectOptions {
  readonly host: string;
  readonly tlsPort: number;
  readonly permanent: boolean;
}

/** Sends a visitor of plain HTTP to the same place over HTTPS. A method other than GET must not become one (RFC 9110 15.4). */
export function httpsRedirect(head: RequestHead, { host, tlsPort, permanent }: HttpsRedirectOptions): EdgeAnswer {
  const { method, target } = head;
  const [status, reason] = permanent ? lasting(method) : [307, "Temporary Redirect"];
  const path = target.startsWith("/") ? target : "/";
  const port = tlsPort === HTTPS_PORT ? "" : `:${tlsPort}`;
  const location = `https://${host}${port}${path}`;
  return {
    status,
    reason,
    fields: [
      ["Location", location],
      ["Content-Type", "text/plain; charset=utf-8"],
      ...(permanent ? [] : [["Cache-Control", "no-store"]] as const),
    ],
    body: `${location}\n`,
  };
}

function lasting(method: string): readonly [status: number, reason: string] {
  return method === "GET" || method === "HEAD" ? [301, "Moved Permanently"] : [308, "Permanent Redirect"];
}
