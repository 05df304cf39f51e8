import { createHash } from "node:crypto";
import { errorStatus } from "../error_status.ts";
import { type CodedError, ERRORS } from "../../../protocol/errors.ts";
import type { EdgeAnswer } from "./edge_answer.ts";

const STYLE = "body{font:16px/1.5 system-ui,sans-serif;max-width:36rem;margin:15vh auto;padding:0 1rem;color:#222}" +
  "h1{font-size:1.4rem}p{margin:.6rem 0}code{color:#555}" +
  "@media(prefers-color-scheme:dark){body{background:#181818;color:#ddd}code{color:#aaa}}";
/** Nothing else can ever run or load on a page of ours. */
const CONTENT_SECURITY_POLICY = `default-src 'none'; style-src 'sha256-${
  createHash("sha256").update(STYLE).digest("base64")
}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'`;

/** The browser itself names the host beside it (RFC 7617 2.1). */
const CHALLENGE = 'Basic realm="This service", charset="UTF-8"';

/** The page that tells a visitor why there is no answer: HTML, or JSON when `Accept` names it before HTML. */
export function errorPage(error: CodedError, accept: string | undefined): EdgeAnswer {
  const { status, reason } = errorStatus(error.kind);
  const { title, fix } = ERRORS[error.kind];
  // What went wrong inside, and where a target is, is for the logs of those who run it.
  const isInside = status === 500 || status === 502 || status === 504;
  const detail = isInside || error.message === title ? "" : error.message;
  const json = wantsJson(accept);
  return {
    status,
    reason,
    fields: [
      ["Content-Type", json ? "application/json" : "text/html; charset=utf-8"],
      ["Cache-Control", "no-store"],
      ["Content-Security-Policy", CONTENT_SECURITY_POLICY],
      ["X-Content-Type-Options", "nosniff"],
      ...(status === 401 ? [["WWW-Authenticate", CHALLENGE]] as const : []),
      ...(status === 429 || status === 503 ? [["Retry-After", "5"]] as const : []),
    ],
    body: json
      ? jsonBody(error.code, { status, title, detail, fix })
      : htmlBody(error.code, { status, title, detail, fix }),
  };
}

interface Texts {
  readonly status: number;
  readonly title: string;
  readonly detail: string;
  readonly fix: string;
}

function jsonBody(code: string, { status, title, detail, fix }: Texts): string {
  return `${JSON.stringify({ status, code, title, ...(detail === "" ? {} : { detail }), fix })}\n`;
}

function htmlBody(code: string, { status, title, detail, fix }: Texts): string {
  return escaped`<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>${status} ${title}</title><style>${STYLE}</style></head>
<body><h1>${title}</h1><p>${detail}</p><p>${fix}</p><p><code>${status} ${code}</code></p></body></html>
`;
}

/** The only way in which text gets into a page: escaped. */
function escaped(literals: TemplateStringsArray, ...values: (string | number)[]): string {
  return String.raw({ raw: literals }, ...values.map(escapeHtml));
}

const ESCAPES: ReadonlyMap<string, string> = new Map([["&", "&amp;"], ["<", "&lt;"], [">", "&gt;"], ['"', "&quot;"], [
  "'",
  "&#39;",
]]);

function escapeHtml(value: string | number): string {
  return String(value).replaceAll(/[&<>"']/g, (character) => ESCAPES.get(character) ?? "");
}

function wantsJson(accept: string | undefined): boolean {
  const json = /\bapplication\/(?:[a-z0-9.-]+\+)?json\b/i.exec(accept ?? "");
  const page = /\btext\/html\b/i.exec(accept ?? "");
  return json !== null && (page === null || json.index < page.index);
}
