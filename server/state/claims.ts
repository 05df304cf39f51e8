import { type Logger, SILENT } from "../../net/log.ts";
import { retryOnConflict } from "../store/retry_on_conflict.ts";
import type { Store, StoreEntry } from "../store/store.ts";
import { StoreMirror } from "../store/store_mirror.ts";
import { asRecord, checkFields, unreadable } from "./records.ts";

/**
 * Who has a name or port. A family is a tunnel with its temporary children: it shares one quota, and what rests may be taken
 * by its own family at any time. `since` is ms since the epoch.
 */
export type Claim =
  | {
    readonly kind: "owned";
    readonly tunnel: string;
    readonly family: string;
    readonly since: number;
    /** Given by the server, so outside the quota and never released by its tunnel. */
    readonly assigned?: true;
    /** A domain of which the owner has shown that it is theirs. */
    readonly proven?: true;
  }
  | { readonly kind: "resting"; readonly family: string; readonly since: number };

/** Who asks: a tunnel, or a temporary child of `parent`. */
export interface Claimant {
  readonly id: string;
  readonly parent?: string;
}

/** How an attempt to take something ended. */
export type Taking =
  | { readonly kind: "taken-now" }
  | { readonly kind: "had-already" }
  | { readonly kind: "taken-by-other" }
  | { readonly kind: "resting"; readonly until: number }
  | { readonly kind: "quota" };

export interface ClaimsOptions {
  readonly store: Store;
  /** Where the claims are stored, `names.`. */
  readonly prefix: string;
  /** How long what was released is kept from other families. */
  readonly restMs: number;
  /** Whether a temporary tunnel has ended, so that its siblings and parent need not wait until it is swept. */
  readonly hasEnded?: (tunnel: string) => boolean;
  /** Called after what this process knows has changed, by whichever process. */
  readonly onChange?: (key: string, next: Claim | undefined, previous: Claim | undefined) => void;
  readonly now?: () => number;
  readonly log?: Logger;
}

export interface TakeOptions {
  /** Most that the family may own. */
  readonly quota: number;
  /** Takes it on behalf of the server. */
  readonly assigned?: true;
  /** The taker has proven that it is theirs: this ends the rest of a former owner, and is noted. */
  readonly proven?: true;
}

/** Records of what rested stay this long, so that the longest unused is given out first. */
const KEEP_RESTING_MS = 30 * 24 * 3_600_000;
/** What belongs to no tunnel is left alone for this long: its tunnel may be in the making. */
const ORPHAN_GRACE_MS = 5 * 60_000;

/** Exclusive ownership of keys by tunnels, every race decided by compare-and-set. */
export class Claims implements Disposable {
  readonly #options: ClaimsOptions;
  readonly #mirror: StoreMirror<Claim>;
  readonly #now: () => number;

  constructor(options: ClaimsOptions) {
    this.#options = options;
    this.#now = options.now ?? Date.now;
    this.#mirror = new StoreMirror<Claim>(options.prefix, {
      parse: parseClaim,
      log: options.log ?? SILENT,
      ...(options.onChange === undefined ? {} : { onChange: options.onChange }),
    });
  }

  /** Loads the claims and follows them. */
  open(): Promise<void> {
    return this.#mirror.follow(this.#options.store);
  }

  /** The claim on `key` as far as this process knows, without waiting. */
  get(key: string): Claim | undefined {
    return this.#mirror.get(key);
  }

  /** The tunnel that owns `key`, as far as this process knows. */
  ownerOf(key: string): string | undefined {
    const claim = this.#mirror.get(key);
    return claim?.kind === "owned" ? claim.tunnel : undefined;
  }

  /** Whether somebody owns `key` who has proven that it is theirs, as far as this process knows. */
  isProven(key: string): boolean {
    const claim = this.#mirror.get(key);
    return claim?.kind === "owned" && claim.proven === true;
  }

  /** What the tunnel owns itself, or what anybody owns, with its claim. */
  *ofTunnel(tunnel?: string): Generator<[key: string, claim: Claim & { kind: "owned" }]> {
    for (const [key, claim] of this.#mirror.entries()) {
      if (claim.kind === "owned" && (tunnel === undefined || claim.tunnel === tunnel)) yield [key, claim];
    }
  }

  /** Whether the tunnel or its parent owns `key`, as far as this process knows. */
  mayUse(claimant: Claimant, key: string): boolean {
    const owner = this.ownerOf(key);
    return owner !== undefined && (owner === claimant.id || owner === claimant.parent);
  }

  /** Tries to take `key`. A child that asks for what its parent owns has it already. */
  take(key: string, claimant: Claimant, options: TakeOptions): Promise<Taking> {
    const family = claimant.parent ?? claimant.id;
    return retryOnConflict(async (): Promise<Taking> => {
      const entry = await this.#options.store.get(this.#options.prefix + key);
      const current = entry === null ? undefined : parseClaim(entry.value);
      const refusal = this.#refusal(current, { claimant, family, proven: options.proven });
      if (entry !== null && refusal?.kind === "had-already") await this.#noteProof(entry, options);
      if (refusal !== null) return refusal;
      const moves = current?.kind === "owned";
      if (!moves && options.assigned === undefined && this.#count(family) >= options.quota) return { kind: "quota" };
      const flags = flagsOf({ ...options, ...(moves && current.proven ? { proven: true } : {}) });
      const claim: Claim = { kind: "owned", tunnel: claimant.id, family, since: this.#now(), ...flags };
      const revision = await this.#put(key, claim, entry?.revision ?? 0);
      if (options.assigned === undefined && this.#count(family, revision) >= options.quota) {
        await this.#undo(key, entry, revision);
        return { kind: "quota" };
      }
      return { kind: "taken-now" };
    });
  }

  /** Lets `key` rest, if the tunnel itself owns it and the server did not assign it; false otherwise. */
  release(key: string, tunnel: string): Promise<boolean> {
    return this.#release(key, tunnel, false);
  }

  /** Lets everything rest that the tunnel owns: it was removed. */
  async releaseAll(tunnel: string): Promise<void> {
    const keys = [...this.ofTunnel(tunnel)].map(([key]) => key);
    await Promise.all(keys.map((key) => this.#release(key, tunnel, true)));
  }

  /** Ends the rest of `key` at once (the operator's word); false when it does not rest. */
  endRest(key: string): Promise<boolean> {
    return retryOnConflict(async () => {
      const entry = await this.#options.store.get(this.#options.prefix + key);
      if (entry === null || parseClaim(entry.value).kind !== "resting") return false;
      await this.#delete(key, entry.revision);
      return true;
    });
  }

  /** Releases what belongs to tunnels that do not exist, and forgets what has rested long enough. */
  async sweep(exists: (tunnel: string) => boolean): Promise<void> {
    const now = this.#now();
    for (const [key, claim] of [...this.#mirror.entries()]) {
      if (claim.kind === "owned" && !exists(claim.tunnel) && claim.since + ORPHAN_GRACE_MS < now) {
        await this.#release(key, claim.tunnel, true);
      } else if (claim.kind === "resting" && claim.since + KEEP_RESTING_MS < now) {
        await this.endRest(key);
      }
    }
  }

  [Symbol.dispose](): void {
    this.#mirror[Symbol.dispose]();
  }

  #refusal(
    current: Claim | undefined,
    { claimant, family, proven }: { claimant: Claimant; family: string; proven: true | undefined },
  ): Taking | null {
    if (current === undefined) return null;
    if (current.kind === "owned") {
      if (current.tunnel === claimant.id || current.tunnel === claimant.parent) return { kind: "had-already" };
      const inherits = current.family === family && current.tunnel !== family && current.assigned === undefined;
      return inherits && this.#options.hasEnded?.(current.tunnel) === true ? null : { kind: "taken-by-other" };
    }
    const until = proven === true ? 0 : current.since + this.#options.restMs;
    return current.family === family || until <= this.#now() ? null : { kind: "resting", until };
  }

  /** What was owned for another reason (a grant) is now proven too. */
  async #noteProof({ key, value, revision }: StoreEntry, { proven }: TakeOptions): Promise<void> {
    const claim = parseClaim(value);
    if (proven !== true || claim.kind !== "owned" || claim.proven === true) return;
    await this.#put(key.slice(this.#options.prefix.length), { ...claim, proven }, revision);
  }

  #release(key: string, tunnel: string, evenAssigned: boolean): Promise<boolean> {
    return retryOnConflict(async () => {
      const entry = await this.#options.store.get(this.#options.prefix + key);
      const claim = entry === null ? undefined : parseClaim(entry.value);
      if (entry === null || claim?.kind !== "owned" || claim.tunnel !== tunnel) return false;
      if (claim.assigned !== undefined && !evenAssigned) return false;
      await this.#put(key, { kind: "resting", family: claim.family, since: this.#now() }, entry.revision);
      return true;
    });
  }

  /** Several claims passed the quota check at the same time: those that the store wrote last take themselves back. */
  async #undo(key: string, before: StoreEntry | null, revision: number): Promise<void> {
    if (before === null) await this.#delete(key, revision);
    else await this.#put(key, parseClaim(before.value), revision);
  }

  /** What the family owns under its quota, of what was written before the revision `before`. */
  #count(family: string, before: number = Infinity): number {
    let count = 0;
    for (const [, claim, revision] of this.#mirror.entries()) {
      if (claim.kind !== "owned" || claim.family !== family || claim.assigned !== undefined) continue;
      if (revision < before) count++;
    }
    return count;
  }

  async #put(key: string, claim: Claim, expect: number): Promise<number> {
    const revision = await this.#options.store.put(this.#options.prefix + key, claim, { expect });
    this.#mirror.applyPut(key, claim, revision);
    return revision;
  }

  async #delete(key: string, expect: number): Promise<void> {
    await this.#options.store.delete(this.#options.prefix + key, { expect });
    this.#mirror.applyDelete(key);
  }
}

function flagsOf({ assigned, proven }: Omit<TakeOptions, "quota">): { assigned?: true; proven?: true } {
  return { ...(assigned === undefined ? {} : { assigned }), ...(proven === undefined ? {} : { proven }) };
}

function parseClaim(value: unknown): Claim {
  const record = asRecord(value);
  checkFields(record, { kind: "string", family: "string", since: "number" });
  if (record.kind === "owned") checkFields(record, { tunnel: "string" });
  else if (record.kind !== "resting") throw unreadable(`"${String(record.kind)}" is not a kind of claim`);
  return record as unknown as Claim;
}
