import { CodedError } from "../../../protocol/errors.ts";
import type { RequestHead } from "../../../protocol/http/head.ts";
import type { HttpOptions } from "../../../protocol/http_options.ts";
import type { EdgeAnswer } from "./edge_answer.ts";

type Redirect = NonNullable<HttpOptions["redirect"]>;

const REASONS: Readonly<Record<Redirect["status"], string>> = {
  301: "Moved Permanently",
  302: "Found",
  307: "Temporary Redirect",
  308: "Permanent Redirect",
};

/** A function that answers a request by a redirect. @throws {CodedError} RULE_INVALID when the URL is none that a browser may be sent to */
export function redirector({ url, status, keepPath = false }: Redirect): (head: RequestHead) => EdgeAnswer {
  const base = parseLocation(url, keepPath);
  const front = base.href.replace(/\/$/, "");
  return ({ target }) => {
    // The path stands behind a host that is ours to choose: whatever it is, it leads nowhere else.
    const location = keepPath && target.startsWith("/") ? front + target : base.href;
    return {
      status,
      reason: REASONS[status],
      fields: [["Location", location], ["Content-Type", "text/plain; charset=utf-8"]],
      body: `${location}\n`,
    };
  };
}

function parseLocation(text: string, keepPath: boolean): URL {
  const url = URL.parse(text);
  if (url === null || !/^https?:$/.test(url.protocol)) throw invalid("it is not an http:// or https:// URL");
  if (url.username !== "" || url.password !== "") throw invalid("it holds a user or password");
  if (keepPath && (url.search !== "" || url.hash !== "")) throw invalid("a path cannot be put behind a query");
  return url;
}

function invalid(reason: string): CodedError {
  return new CodedError("RULE_INVALID", `Cannot redirect to this URL: ${reason}`);
}
