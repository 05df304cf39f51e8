import { z } from "zod";
import { parseTarget } from "../../client/target.ts";
import { isFieldValue, isToken } from "../../protocol/http/field.ts";
import { isHostName } from "../../protocol/host_name.ts";
import { httpOptionsSchema } from "../../protocol/http_options.ts";
import { checked } from "../checked_schema.ts";
import { looseText } from "../loose_text_schema.ts";
import { parseSize } from "../parse_size.ts";
import { firewallSchema } from "./firewall_schema.ts";
import { serviceSchema } from "./service_schema.ts";
import { tlsSchema } from "./tls_schema.ts";

/** Users and header lines of one rule, as the protocol takes. */
const MAX_ENTRIES = 64;
/** Statuses that lead elsewhere; the others of 3xx say other things. */
const REDIRECT_STATUS = [301, 302, 307, 308] as const;
/** What one connection, its framing and its routing depend on is nobody's to change; nor is what tells the visitor's address. */
const FIXED_FIELDS: ReadonlySet<string> = new Set([
  ...["connection", "content-length", "expect", "host", "keep-alive", "proxy-connection"],
  ...["te", "trailer", "transfer-encoding", "upgrade"],
]);

const userSchema = z.strictObject({
  user: checked(z.string(), checkUser),
  /** Made by `pktriot route http add --basic-auth`. */
  hash: looseText,
});

const url = checked(z.string(), checkUrl);
const redirectToSchema = z.union([
  url,
  z.strictObject({ url, status: z.literal(REDIRECT_STATUS).optional(), keepPath: z.boolean().optional() }),
], { error: "it is not a URL such as https://www.example.com, nor {url, status, keepPath}" });

const headersSchema = z.strictObject({
  set: z.record(z.string(), z.string()).superRefine((fields, context) => {
    if (Object.keys(fields).length > MAX_ENTRIES) context.addIssue(`at most ${MAX_ENTRIES} headers are set`);
    for (const [name, value] of Object.entries(fields)) refine(context, [name], () => checkField(name, value));
  }).optional(),
  remove: z.array(checked(z.string(), checkFieldName)).max(MAX_ENTRIES).optional(),
});

/** An HTTP rule of the configuration. */
export const httpSchema = z.strictObject({
  domain: z.string().refine(isHostName, "it is not a domain name in lower case, such as blog.example.com"),
  /** May be left out when nothing leads there: all is redirected, or HTTPS is passed through and HTTP redirected. */
  target: checked(z.string(), parseTarget).optional(),
  tls: tlsSchema.optional(),
  /** Answer plain HTTP by a redirect to HTTPS. */
  redirect: z.boolean().optional(),
  hostHeader: checked(z.string(), checkHost).optional(),
  insecureUpstream: z.boolean().optional(),
  /** Who may come in; an empty list lets nobody in. */
  basicAuth: z.array(userSchema).max(MAX_ENTRIES).optional(),
  redirectTo: redirectToSchema.optional(),
  stripPrefix: httpOptionsSchema.shape.stripPrefix,
  addPrefix: httpOptionsSchema.shape.addPrefix,
  requestHeaders: headersSchema.optional(),
  responseHeaders: headersSchema.optional(),
  maxBody: z.union([z.int().min(0), checked(z.string(), parseSize)], { error: "it is not a size such as 10MB" })
    .optional(),
  proxyProtocol: z.literal("v2").optional(),
  ...serviceSchema,
  firewall: firewallSchema.optional(),
}).superRefine((entry, context) => {
  if (entry.target !== undefined || needsNoTarget(entry)) return;
  context.addIssue({ code: "custom", path: ["target"], message: "it is missing" });
});

/** A rule of `http` in the configuration. */
export type HttpEntry = z.infer<typeof httpSchema>;
/** Header lines that a rule sets and removes. */
export type HeadersEntry = z.infer<typeof headersSchema>;
/** One who may come in. */
export type UserEntry = z.infer<typeof userSchema>;

/** Whether no request of the rule ever gets to a target. */
function needsNoTarget(
  { tls, redirect, redirectTo }: Pick<HttpEntry, "tls" | "redirect" | "redirectTo">,
): boolean {
  return redirectTo !== undefined || (redirect === true && typeof tls === "object" && "target" in tls);
}

/** A user of basic authentication. @throws {RangeError} */
export function checkUser(user: string): void {
  if (user === "" || user.length > 128) throw new RangeError("A user has 1 to 128 characters");
  // RFC 7617 2: the first colon ends the user.
  if (/[:\p{Cc}]/u.test(user)) throw new RangeError("A user has no colon and no control characters");
}

/** A value of Host (RFC 9110 7.2), with the underscores that names in private networks have. @throws {RangeError} */
export function checkHost(text: string): void {
  const match = /^(?:\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::([0-9]{1,5}))?$/i.exec(text);
  if (match === null || text.length > 255 || Number(match[1] ?? 1) > 65_535) {
    throw new RangeError(`${JSON.stringify(text)} is not a host such as app.example.com or localhost:8080`);
  }
}

/** Where all visitors are sent. @throws {RangeError} */
export function checkUrl(text: string): void {
  if (!/^https?:\/\/[\x21-\x7e]+$/.test(text) || !URL.canParse(text) || text.length > 2048) {
    throw new RangeError(`"${text}" is not a URL such as https://www.example.com`);
  }
}

/** A header line to be set. @throws {RangeError} */
export function checkField(name: string, value: string): void {
  checkFieldName(name);
  if (value.length > 4096 || !isFieldValue(value)) throw new RangeError(`the value of ${name} cannot be sent`);
}

/** The name of a header that may be set and removed. @throws {RangeError} */
export function checkFieldName(name: string): void {
  if (name.length > 256 || !isToken(name)) throw new RangeError(`"${name}" is not the name of a header`);
  const key = name.toLowerCase();
  if (!FIXED_FIELDS.has(key) && !/^(?:x-)?forwarded/.test(key)) return;
  const hint = key === "host" ? "; the host header has an option of its own" : "";
  throw new RangeError(`${name} cannot be changed${hint}`);
}

function refine(context: z.core.$RefinementCtx, path: string[], check: () => void): void {
  try {
    check();
  } catch (error) {
    context.addIssue({ code: "custom", path, message: error instanceof Error ? error.message : String(error) });
  }
}
