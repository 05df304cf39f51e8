import type { EdgeAnswer } from "../../net/http/proxy/edge_answer.ts";
import type { RequestHead } from "../../protocol/http/head.ts";

/** The port that a browser does not show. */
const HTTPS_PORT = 443;

/** Sends a visitor of plain HTTP to the same place over HTTPS. A method other than GET must not become one (RFC 9110 15.4). */
export function httpsRedirect(head: RequestHead, { host, tlsPort }: { host: string; tlsPort: number }): EdgeAnswer {
  const { method, target } = head;
  const permanent = method === "GET" || method === "HEAD"
    ? [301, "Moved Permanently"] as const
    : [308, "Permanent Redirect"] as const;
  const [status, reason] = permanent;
  const path = target.startsWith("/") ? target : "/";
  const port = tlsPort === HTTPS_PORT ? "" : `:${tlsPort}`;
  const location = `https://${host}${port}${path}`;
  return {
    status,
    reason,
    fields: [["Location", location], ["Content-Type", "text/plain; charset=utf-8"]],
    body: `${location}\n`,
  };
}
