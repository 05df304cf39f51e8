import { z } from "zod";
import { ProtocolError } from "./errors.ts";
import { MAX_POOL_REQUEST, MAX_RULES } from "./limits.ts";
import { ruleSchema } from "./rule.ts";

/** Any short text a peer tells about itself or a failure (security R20: every string has a cap). */
const text = z.string().max(1024);
const id = z.string().min(1).max(128);
const error = z.object({ code: z.string().max(16), message: text });

/** Of {@link RuleState}. */
export const ruleStateSchema = z.object({
  id: z.string().max(270),
  state: z.enum(["active", "inactive"]),
  /** Where visitors reach it: `http://blog.example.com`, `tcp://host:22197`. */
  address: text.optional(),
  code: z.string().max(16).optional(),
  message: text.optional(),
  /** Until when the certificate is good with which the client ends TLS (ISO 8601). */
  notAfter: z.iso.datetime().optional(),
});

const controlMessageSchema = z.discriminatedUnion("kind", [
  z.object({
    kind: z.literal("hello"),
    protocol: z.literal(1),
    instance: id,
    role: z.enum(["serve", "use"]),
    version: text,
    os: text,
    arch: text,
    host: text,
    features: z.array(z.string().max(64)).max(64).default([]),
    takeover: z.boolean().optional(),
    resume: z.object({ session: id, secret: id }).optional(),
  }),
  z.object({
    kind: z.literal("welcome"),
    session: id,
    secret: id,
    resumed: z.boolean(),
    tunnel: z.object({ id, name: text, hostname: text }),
    server: z.object({ hostname: text, version: text, domain: text, httpPort: z.int(), tlsPort: z.int() }),
    limits: z.object({ rules: z.int(), networks: z.int(), streams: z.int() }),
    heartbeatMs: z.int().min(10).max(600_000),
  }),
  z.object({ kind: z.literal("rules"), revision: z.int().min(0), rules: z.array(ruleSchema).max(MAX_RULES) }),
  z.object({
    kind: z.literal("rules.applied"),
    revision: z.int().min(0),
    rules: z.array(ruleStateSchema).max(MAX_RULES),
  }),
  z.object({ kind: z.literal("request"), id: z.int().min(0), method: z.string().max(64), params: z.unknown() }),
  z.object({
    kind: z.literal("response"),
    id: z.int().min(0),
    result: z.unknown().optional(),
    error: error.optional(),
  }),
  z.object({ kind: z.literal("pool"), count: z.int().min(1).max(MAX_POOL_REQUEST) }),
  z.object({ kind: z.literal("drain"), graceMs: z.int().min(0) }),
  z.object({
    kind: z.literal("notice"),
    level: z.enum(["info", "warn", "error"]),
    code: z.string().max(16),
    message: text,
  }),
  z.object({ kind: z.literal("bye"), code: z.string().max(16), message: text, final: z.boolean() }),
]);

/** What travels on a control channel. */
export type ControlMessage = z.infer<typeof controlMessageSchema>;
/** One kind of control message. */
export type ControlMessageOf<K extends ControlMessage["kind"]> = Extract<ControlMessage, { kind: K }>;
export type Hello = ControlMessageOf<"hello">;
export type Welcome = ControlMessageOf<"welcome">;
/** What became of one rule at the server. */
export type RuleState = z.infer<typeof ruleStateSchema>;

const KINDS: ReadonlySet<string> = new Set(controlMessageSchema.options.map((option) => option.shape.kind.value));

/** A message of a kind that this version does not know; it is logged and ignored. */
export interface UnknownMessage {
  kind: "unknown";
  name: string;
}

/**
 * Reads one control message.
 * @throws {ProtocolError} when it is not JSON, has no kind, or is a known kind with wrong fields.
 */
export function parseControlMessage(json: string): ControlMessage | UnknownMessage {
  const value = parseJson(json);
  const kind = typeof value === "object" && value !== null && "kind" in value ? value.kind : undefined;
  if (typeof kind !== "string") throw new ProtocolError("Cannot read a control message: it has no kind");
  if (!KINDS.has(kind)) return { kind: "unknown", name: kind.slice(0, 64) };
  const parsed = controlMessageSchema.safeParse(value);
  if (parsed.success) return parsed.data;
  throw new ProtocolError(`Cannot read control message "${kind}": ${describeIssue(parsed.error)}`);
}

/** JSON text of a control message. */
export function encodeControlMessage(message: ControlMessage): string {
  return JSON.stringify(message);
}

/** The first thing a schema complains about, as `path: reason`. */
export function describeIssue(failure: z.ZodError): string {
  const issue = failure.issues[0];
  if (issue === undefined) return "it does not fit its schema";
  const path = issue.path.join(".");
  return path === "" ? issue.message : `${path}: ${issue.message}`;
}

function parseJson(json: string): unknown {
  try {
    return JSON.parse(json);
  } catch (cause) {
    throw new ProtocolError("Cannot read a control message: it is not JSON", { cause });
  }
}
