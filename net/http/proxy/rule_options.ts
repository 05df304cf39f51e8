import { CodedError } from "../../../protocol/errors.ts";
import type { Framing } from "../../../protocol/http/framing.ts";
import type { RequestHead } from "../../../protocol/http/head.ts";
import { type HttpOptions, httpOptionsSchema } from "../../../protocol/http_options.ts";
import type { Rule } from "../../../protocol/rule.ts";
import { BasicAuth } from "./basic_auth.ts";
import { FieldEdits } from "./field_edits.ts";
import type { EdgeAnswer } from "./edge_answer.ts";
import { pathRewriter } from "./path_prefix.ts";
import { redirector } from "./redirect.ts";

/** The options of a rule, ready to be applied to every request; in the order in which that is done. */
export interface CompiledHttpOptions {
  readonly auth: BasicAuth | undefined;
  readonly redirect: ((head: RequestHead) => EdgeAnswer) | undefined;
  readonly maxBodyBytes: number | undefined;
  readonly rewritePath: ((target: string) => string) | undefined;
  readonly requestFields: FieldEdits | undefined;
  readonly responseFields: FieldEdits | undefined;
}

/**
 * Compiles the options of a rule, once for all requests; `undefined` without any. Each compilation forgets who has proven a password.
 * @throws {CodedError} RULE_INVALID; the rule then stays closed
 */
export function compileHttpOptions(options: HttpOptions | undefined): CompiledHttpOptions | undefined {
  if (options === undefined) return undefined;
  const { basicAuth, redirect, stripPrefix, addPrefix, requestFields, responseFields, maxBodyBytes } = valid(options);
  return {
    auth: basicAuth === undefined ? undefined : new BasicAuth(basicAuth),
    redirect: redirect === undefined ? undefined : redirector(redirect),
    maxBodyBytes,
    rewritePath: stripPrefix === undefined && addPrefix === undefined
      ? undefined
      : pathRewriter({ stripPrefix, addPrefix }),
    requestFields: requestFields === undefined ? undefined : new FieldEdits("request", requestFields),
    responseFields: responseFields === undefined ? undefined : new FieldEdits("response", responseFields),
  };
}

/**
 * The same for a rule as it crosses the wire.
 * @throws {CodedError} RULE_INVALID; OPTION_NEEDS_PLAINTEXT when the target alone can read what visitors send
 */
export function compileRuleOptions(rule: Rule): CompiledHttpOptions | undefined {
  if (rule.kind !== "http") return undefined;
  if (rule.tls === "target" && (rule.options !== undefined || rule.hostHeader !== undefined)) {
    const what = rule.options === undefined ? "a host header (an https:// target has one by itself)" : "HTTP options";
    throw new CodedError("OPTION_NEEDS_PLAINTEXT", `Cannot use ${what} for ${rule.domain}: its TLS ends at the target`);
  }
  return compileHttpOptions(rule.options);
}

/** The request as the target gets it. @throws {CodedError} BODY_TOO_LARGE, UNKNOWN_PATH */
export function editedRequest(head: RequestHead, framing: Framing, options: CompiledHttpOptions): RequestHead {
  const { maxBodyBytes = Infinity, rewritePath, requestFields, auth } = options;
  if (framing.kind === "length" && framing.length > maxBodyBytes) throw bodyTooLarge(maxBodyBytes);
  const target = rewritePath === undefined ? head.target : rewritePath(head.target);
  // The password is for us; the target has no use for it.
  if (auth !== undefined) head.fields.delete("authorization");
  requestFields?.apply(head.fields);
  return { ...head, target };
}

/** What a body that is larger than it may be gets. */
export function bodyTooLarge(maxBytes: number): CodedError {
  return new CodedError("BODY_TOO_LARGE", `The request body is larger than ${maxBytes} bytes`);
}

/** The wire has checked them; a caller of `connect()` may have written anything. */
function valid(options: HttpOptions): HttpOptions {
  const parsed = httpOptionsSchema.safeParse(options);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  const where = issue?.path.join(".") ?? "";
  throw new CodedError("RULE_INVALID", `The option "${where}" is not valid: ${issue?.message}`);
}
