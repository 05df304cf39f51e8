import type { FieldEdits, HttpOptions } from "../../protocol/http_options.ts";
import { parseSize } from "../parse_size.ts";
import type { HeadersEntry, HttpEntry } from "./http_schema.ts";

/** The status for a redirect that names none: it may be changed again, browsers do not keep it. */
const DEFAULT_REDIRECT_STATUS = 302;

/** The HTTP options of a rule as both ends take them; `undefined` when it has none. */
export function httpOptionsOf(entry: Omit<HttpEntry, "firewall">): HttpOptions | undefined {
  const options = withoutUndefined({
    basicAuth: entry.basicAuth?.map(({ user, hash }) => ({ user, hash })),
    redirect: redirectOf(entry.redirectTo),
    stripPrefix: entry.stripPrefix,
    addPrefix: entry.addPrefix,
    requestFields: fieldEditsOf(entry.requestHeaders),
    responseFields: fieldEditsOf(entry.responseHeaders),
    maxBodyBytes: typeof entry.maxBody === "string" ? parseSize(entry.maxBody) : entry.maxBody,
  });
  return Object.keys(options).length === 0 ? undefined : options;
}

function redirectOf(entry: HttpEntry["redirectTo"]): HttpOptions["redirect"] {
  if (entry === undefined) return undefined;
  const { url, status = DEFAULT_REDIRECT_STATUS, keepPath } = typeof entry === "string" ? { url: entry } : entry;
  return { url, status, ...(keepPath === undefined ? {} : { keepPath }) };
}

function fieldEditsOf(entry: HeadersEntry | undefined): FieldEdits | undefined {
  if (entry === undefined) return undefined;
  return withoutUndefined({
    set: entry.set === undefined ? undefined : Object.entries(entry.set),
    remove: entry.remove === undefined ? undefined : [...entry.remove],
  });
}

/** The same without keys that have no value. */
function withoutUndefined<T extends object>(value: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(value).filter(([, part]) => part !== undefined)) as never;
}
