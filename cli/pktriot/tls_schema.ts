import { z } from "zod";
import { parseTarget } from "../../client/target.ts";
import { checked } from "../checked_schema.ts";

/** Where the TLS of a domain's visitors ends, as the configuration says it; one key, so that it cannot be said twice. */
export type TlsEntry =
  /** In the client, with a certificate that it gets by itself. */
  | "letsencrypt"
  /** At the server. */
  | "server"
  /** In the client, with PEM files. */
  | { certificate: string; key: string }
  /** At this target (`host:port`), which gets the bytes untouched. */
  | { target: string };

const path = z.string().min(1).max(4096);
const wordSchema = z.enum(["letsencrypt", "server"], {
  error: "it is not letsencrypt, server, {certificate, key} or {target}",
});
const filesSchema = z.strictObject({ certificate: path, key: path });
const passThroughSchema = z.strictObject({ target: checked(z.string(), parseTlsTarget) });

/** The schema of {@link TlsEntry}: of its forms the one that is meant complains, not all of them. */
export const tlsSchema = z.unknown().transform((value, context): TlsEntry => {
  const parsed = formOf(value).safeParse(value);
  if (parsed.success) return parsed.data;
  context.issues.push(...parsed.error.issues as z.core.$ZodRawIssue[]);
  return z.NEVER;
});

function formOf(value: unknown): z.ZodType<TlsEntry> {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return wordSchema;
  return "target" in value ? passThroughSchema : filesSchema;
}

/**
 * The target of TLS that is passed through: `host:port`.
 * @throws {CodedError} TARGET_INVALID
 * @throws {RangeError} when it is a target of another kind.
 */
export function parseTlsTarget(text: string): { host: string; port: number } {
  const target = parseTarget(text);
  if (target.kind !== "tcp") throw new RangeError(`"${text}" cannot take TLS as it comes: write host:port`);
  return target;
}
