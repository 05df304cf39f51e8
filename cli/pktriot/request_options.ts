import { CodedError } from "../../protocol/errors.ts";
import { httpOptionsSchema } from "../../protocol/http_options.ts";
import { usageError } from "../command_error.ts";
import { parseSize } from "../parse_size.ts";
import { checkField, checkFieldName, checkHost, checkUrl, type HeadersEntry, type HttpEntry } from "./http_schema.ts";
import type { TlsEntry } from "./tls_schema.ts";
import { usageOf } from "./usage_of.ts";

/** Flags of `route http add` that say what is done to requests and answers. */
export interface RequestOptions {
  hostHeader?: string;
  redirectTo?: string;
  stripPrefix?: string;
  addPrefix?: string;
  setHeader?: readonly string[];
  removeHeader?: readonly string[];
  setResponseHeader?: readonly string[];
  removeResponseHeader?: readonly string[];
  maxBody?: string;
}

type RequestEntry = Pick<
  HttpEntry,
  "hostHeader" | "redirectTo" | "stripPrefix" | "addPrefix" | "requestHeaders" | "responseHeaders" | "maxBody"
>;

/** Keys of the configuration that need a request to be read, and the flags that set them. */
const FLAGS = {
  basicAuth: "--basic-auth",
  hostHeader: "--host-header",
  redirectTo: "--redirect-to",
  stripPrefix: "--strip-prefix",
  addPrefix: "--add-prefix",
  requestHeaders: "--set-header or --remove-header",
  responseHeaders: "--set-response-header or --remove-response-header",
  maxBody: "--max-body",
} as const satisfies Partial<Record<keyof HttpEntry, string>>;

/** The options of a rule as the flags say them, ready for the configuration. @throws {CommandError} USAGE */
export function requestOptionsOf(options: RequestOptions): RequestEntry {
  const { hostHeader, redirectTo, stripPrefix, addPrefix, maxBody } = options;
  if (hostHeader !== undefined) usageOf("--host-header", () => checkHost(hostHeader));
  if (redirectTo !== undefined) usageOf("--redirect-to", () => checkUrl(redirectTo));
  if (maxBody !== undefined) usageOf("--max-body", () => parseSize(maxBody));
  assertPrefix("--strip-prefix", stripPrefix);
  assertPrefix("--add-prefix", addPrefix);
  return {
    ...{ hostHeader, redirectTo, stripPrefix, addPrefix, maxBody },
    requestHeaders: headersOf(["--set-header", options.setHeader], ["--remove-header", options.removeHeader]),
    responseHeaders: headersOf(
      ["--set-response-header", options.setResponseHeader],
      ["--remove-response-header", options.removeResponseHeader],
    ),
  };
}

/** Users whose passwords are not known yet: nobody is asked for one that would be refused. */
export const TO_BE_ASKED: NonNullable<HttpEntry["basicAuth"]> = [];

/** TLS that is passed on unread leaves nothing that an option could be about. @throws {CodedError} OPTION_NEEDS_PLAINTEXT */
export function assertReadable(entry: Omit<HttpEntry, "firewall">): void {
  if (!isPassedThrough(entry.tls)) return;
  for (const [key, flag] of Object.entries(FLAGS)) {
    if (entry[key as keyof typeof FLAGS] === undefined) continue;
    const kept = key === "basicAuth" && entry.basicAuth !== TO_BE_ASKED
      ? " (which the rule has; --without-basic-auth lets everybody in)"
      : "";
    throw new CodedError(
      "OPTION_NEEDS_PLAINTEXT",
      `${flag}${kept} cannot be used with --tls: the target alone can read what visitors send`,
    );
  }
}

/** Whether the target ends the TLS of the rule's visitors. */
function isPassedThrough(tls: TlsEntry | undefined): tls is { target: string } {
  return typeof tls === "object" && "target" in tls;
}

function assertPrefix(flag: string, prefix: string | undefined): void {
  if (httpOptionsSchema.shape.stripPrefix.safeParse(prefix).success) return;
  throw usageError(`${flag}: "${prefix}" is not a path such as /app`, {
    fix: "Begin it with / and do not end it with one.",
  });
}

type Flag = [flag: string, given: readonly string[] | undefined];

function headersOf([setFlag, lines]: Flag, [removeFlag, names]: Flag): HeadersEntry | undefined {
  if (lines === undefined && names === undefined) return undefined;
  const set = new Map<string, [name: string, value: string]>();
  for (const line of lines ?? []) {
    const [name, value] = parseLine(setFlag, line);
    if (set.has(name.toLowerCase())) {
      throw usageError(`${setFlag} sets ${name} twice`, { fix: "Give each header once." });
    }
    set.set(name.toLowerCase(), [name, value]);
  }
  for (const name of names ?? []) {
    usageOf(removeFlag, () => checkFieldName(name));
    if (!set.has(name.toLowerCase())) continue;
    throw usageError(`${setFlag} and ${removeFlag} cannot be used together for ${name}`, {
      fix: "A header that is set replaces the others of its name.",
    });
  }
  return {
    ...(lines === undefined ? {} : { set: Object.fromEntries(set.values()) }),
    ...(names === undefined ? {} : { remove: [...names] }),
  };
}

function parseLine(flag: string, line: string): [name: string, value: string] {
  const colon = line.indexOf(":");
  if (colon < 1) throw usageError(`${flag}: "${line}" is not a header`, { fix: 'Write it as "Name: value".' });
  const [name, value] = [line.slice(0, colon).trim(), line.slice(colon + 1).trim()];
  usageOf(flag, () => checkField(name, value));
  return [name, value];
}
