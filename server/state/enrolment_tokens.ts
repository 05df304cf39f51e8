import { randomBytes } from "node:crypto";
import { CodedError } from "../../protocol/errors.ts";
import { retryOnConflict } from "../store/retry_on_conflict.ts";
import type { Store } from "../store/store.ts";
import { type Grants, resolveGrants } from "./grants.ts";
import { asRecord, checkFields } from "./records.ts";
import { createToken, parseToken, verifyDigest } from "./secrets.ts";

/** What is known of an enrolment token; its secret is not. Times are ms since the epoch. */
export interface EnrolmentToken {
  readonly id: string;
  readonly owner: string;
  readonly tags: readonly string[];
  readonly grants: Grants;
  readonly createdAt: number;
  /** null: never. */
  readonly expiresAt: number | null;
  /** How many tunnels it may make; null: any number. */
  readonly uses: number | null;
  readonly used: number;
}

export interface CreateEnrolmentTokenOptions {
  /** @default "default" */
  readonly owner?: string;
  readonly tags?: readonly string[];
  /** Time until it expires, null for never. @default 24 h */
  readonly expiresInMs?: number | null;
  /** Number of tunnels it may make, null for any number. @default 1 */
  readonly uses?: number | null;
  /** What its tunnels may take; each field left away has its default. */
  readonly grants?: Partial<Grants>;
}

type StoredToken = EnrolmentToken & { readonly digest: string };

/** A day is long enough to reach the other machine, and short enough that a forgotten invite is worthless. */
const DEFAULT_EXPIRY_MS = 24 * 3_600_000;
/** Spent and expired tokens stay listed for this long, so that the operator sees what became of them. */
const KEEP_SPENT_MS = 30 * 24 * 3_600_000;
const PREFIX = "enrolment_tokens.";
const LABEL = /^[A-Za-z0-9][A-Za-z0-9_.:@-]{0,63}$/;
const MAX_TAGS = 32;

/** The tokens with which clients become tunnels. */
export class EnrolmentTokens {
  readonly #store: Store;
  readonly #now: () => number;

  constructor(store: Store, options: { readonly now?: () => number } = {}) {
    this.#store = store;
    this.#now = options.now ?? Date.now;
  }

  /** Makes a token and returns its text, which cannot be read again later. Throws `USAGE` for malformed options. */
  async create(options: CreateEnrolmentTokenOptions = {}): Promise<{ token: string; record: EnrolmentToken }> {
    const record = resolveToken(options, this.#now());
    const { token, digest } = createToken("enrol", record.id);
    await this.#store.put(PREFIX + record.id, { ...record, digest } satisfies StoredToken, { expect: 0 });
    return { token, record };
  }

  /** All tokens, oldest first. */
  async list(): Promise<EnrolmentToken[]> {
    const entries = await this.#store.list(PREFIX);
    return entries.map((entry) => toPublic(parseStored(entry.value))).sort((a, b) => a.createdAt - b.createdAt);
  }

  /** Removes a token; tunnels made with it stay. False when there is none with this id. */
  async remove(id: string): Promise<boolean> {
    if (!/^[a-z0-9]+$/.test(id) || await this.#store.get(PREFIX + id) === null) return false;
    await this.#store.delete(PREFIX + id);
    return true;
  }

  /** Uses the token up by one; throws `TOKEN_INVALID`, `TOKEN_EXPIRED` or `TOKEN_USED`. Safe against any race. */
  consume(token: string): Promise<EnrolmentToken> {
    const presented = parseToken("enrol", token);
    return retryOnConflict(async () => {
      // A malformed token takes the same way as an unknown one.
      const entry = await this.#store.get(PREFIX + (presented?.id ?? "unknown"));
      const stored = entry === null ? null : parseStored(entry.value);
      const valid = verifyDigest(presented?.digest, stored === null ? [] : [stored.digest]);
      if (!valid || entry === null || stored === null) throw new CodedError("TOKEN_INVALID");
      if (stored.expiresAt !== null && stored.expiresAt <= this.#now()) throw new CodedError("TOKEN_EXPIRED");
      if (stored.uses !== null && stored.used >= stored.uses) throw new CodedError("TOKEN_USED");
      const next: StoredToken = { ...stored, used: stored.used + 1 };
      await this.#store.put(entry.key, next, { expect: entry.revision });
      return toPublic(next);
    });
  }

  /** Removes tokens that expired 30 days ago. */
  async prune(): Promise<void> {
    for (const token of await this.list()) {
      if (token.expiresAt !== null && token.expiresAt + KEEP_SPENT_MS < this.#now()) await this.remove(token.id);
    }
  }
}

function resolveToken(options: CreateEnrolmentTokenOptions, now: number): EnrolmentToken {
  const { owner = "default", tags = [], expiresInMs = DEFAULT_EXPIRY_MS, uses = 1, grants = {} } = options;
  for (const label of [owner, ...tags]) {
    if (!LABEL.test(label)) {
      throw new CodedError("USAGE", `"${label}" is not an owner or tag: use letters, digits and _.:@-, at most 64`);
    }
  }
  if (tags.length > MAX_TAGS) throw new CodedError("USAGE", `At most ${MAX_TAGS} tags are allowed`);
  if (uses !== null && (!Number.isSafeInteger(uses) || uses < 1)) {
    throw new CodedError("USAGE", `"${uses}" is not a number of uses: give 1 or more`);
  }
  if (expiresInMs !== null && !(expiresInMs > 0 && Number.isSafeInteger(now + expiresInMs))) {
    throw new CodedError("USAGE", "The expiry must lie in the future");
  }
  return {
    id: randomBytes(6).toString("hex"),
    owner,
    tags: [...new Set(tags)],
    grants: resolveGrants(grants),
    createdAt: now,
    expiresAt: expiresInMs === null ? null : now + expiresInMs,
    uses,
    used: 0,
  };
}

function parseStored(value: unknown): StoredToken {
  const record = asRecord(value);
  checkFields(record, {
    id: "string",
    digest: "string",
    owner: "string",
    tags: "object",
    grants: "object",
    used: "number",
  });
  return record as unknown as StoredToken;
}

function toPublic({ digest: _, ...token }: StoredToken): EnrolmentToken {
  return token;
}
