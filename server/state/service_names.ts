import { CodedError } from "../../protocol/errors.ts";
import { type Logger, SILENT } from "../../net/log.ts";
import { retryOnConflict } from "../store/retry_on_conflict.ts";
import type { Store } from "../store/store.ts";
import { StoreMirror } from "../store/store_mirror.ts";
import { NAME_REST_MS } from "./names.ts";
import { asRecord, checkFields } from "./records.ts";
import { TEMPORARY_GRACE_MS, type Tunnel } from "./tunnels.ts";

/** Whose a service name is. Times are ms since the epoch. */
export interface ServiceName {
  readonly name: string;
  readonly owner: string;
  /** When a rule was last known to offer it; a day may have passed since. */
  readonly offeredAt: number;
  /** From then on it is free, unless it is offered again before. */
  readonly keptUntil: number;
}

/** A tunnel that offers a service, or a temporary one (it has a parent). */
export type ServiceClaimant = Pick<Tunnel, "owner" | "parent">;

export interface ServiceNamesOptions {
  /** A name that only one-shots have offered is free this long after the last. @default 5 minutes */
  readonly temporaryTunnelMs?: number;
  readonly now?: () => number;
  readonly log?: Logger;
}

/** `temporary`: only one-shots have offered it. */
interface StoredName {
  readonly owner: string;
  readonly offeredAt: number;
  readonly temporary?: true;
}

/**
 * As many as a tunnel may have rules, so that one tunnel can name all of them. It is for all tunnels of an owner, who may be
 * `default`: more generous than names and ports, yet whoever has stolen a token can neither take every word nor fill the store.
 */
export const MAX_SERVICE_NAMES = 1_000;
/** What is offered all the time is written once a day: against the 30 days that it is kept a day is little. */
export const NOTE_INTERVAL_MS = 24 * 3_600_000;

const PREFIX = "services.";

/**
 * Ownership of service names. One belongs to the owner of the tunnel that first offered it, whether or not a tunnel of theirs is
 * online, until it was not offered for 30 days: what finds `redis` today must not find a stranger's tomorrow (security R12).
 */
export class ServiceNames implements Disposable {
  readonly #store: Store;
  readonly #now: () => number;
  readonly #temporaryMs: number;
  readonly #mirror: StoreMirror<StoredName>;
  readonly #listeners = new Set<(name: string, owner: string) => void>();

  constructor(store: Store, options: ServiceNamesOptions = {}) {
    this.#store = store;
    this.#now = options.now ?? Date.now;
    this.#temporaryMs = options.temporaryTunnelMs ?? TEMPORARY_GRACE_MS;
    this.#mirror = new StoreMirror<StoredName>(PREFIX, {
      parse: parseStored,
      onChange: (name, next, previous) => {
        if (previous !== undefined && previous.owner !== next?.owner) this.#tell(name, previous.owner);
      },
      log: options.log ?? SILENT,
    });
  }

  /** Loads the names and follows them. */
  open(): Promise<void> {
    return this.#mirror.follow(this.#store);
  }

  /** All that somebody has, by name; from memory. */
  list(): ServiceName[] {
    return [...this.#mirror.entries()].filter(([, stored]) => this.#isKept(stored))
      .map(([name, stored]) => {
        const { owner, offeredAt } = stored;
        return { name, owner, offeredAt, keptUntil: this.#keptUntil(stored) };
      })
      .sort((a, b) => a.name < b.name ? -1 : 1);
  }

  /** Whether the owner has the name; from memory. */
  isOf(owner: string, name: string): boolean {
    return this.#mirror.get(name)?.owner === owner;
  }

  /** What `claim` checks, from memory; claims nothing. Throws `SERVICE_TAKEN`. */
  check(owner: string, name: string): void {
    const stored = this.#mirror.get(name);
    if (stored !== undefined && stored.owner !== owner && this.#isKept(stored)) throw serviceTaken(name);
  }

  /**
   * Makes the tunnel's owner the owner of the name, or notes that they offer it. What a one-shot takes is kept for 5 minutes only,
   * unless another tunnel of the owner offers it too. Throws `SERVICE_TAKEN`, which never says whose it is, or `QUOTA_EXCEEDED`.
   */
  claim(name: string, { owner, parent }: ServiceClaimant): Promise<void> {
    return retryOnConflict(async () => {
      const entry = await this.#store.get(PREFIX + name);
      const current = entry === null ? undefined : parseStored(entry.value);
      const own = current !== undefined && current.owner === owner;
      if (current !== undefined && !own && this.#isKept(current)) throw serviceTaken(name);
      const lasting = parent === undefined || (own && current.temporary === undefined);
      if (entry !== null && own && !this.#isDue(current) && (current.temporary === undefined) === lasting) {
        // Another process may have written it a moment ago.
        return this.#mirror.applyPut(name, current, entry.revision);
      }
      if (!own) this.#assertQuota(owner, Infinity);
      const stored: StoredName = { owner, offeredAt: this.#now(), ...(lasting ? {} : { temporary: true }) };
      const revision = await this.#put(name, stored, entry?.revision ?? 0);
      if (!own) await this.#assertAmongFirst(name, owner, revision);
    });
  }

  /** Notes that these names are offered now: those that belong to somebody, each at most once a day. */
  async note(names: Iterable<string>): Promise<void> {
    for (const name of names) {
      const known = this.#mirror.get(name);
      if (known !== undefined && this.#isDue(known)) await this.#note(name, known.owner);
    }
  }

  /** Makes the name free at once (the operator's word), and gives the former owner; undefined when it is nobody's. */
  async release(name: string): Promise<string | undefined> {
    const entry = await this.#store.get(PREFIX + name);
    if (entry === null) return undefined;
    const { owner } = parseStored(entry.value);
    await this.#store.delete(PREFIX + name);
    this.#mirror.applyDelete(name);
    return owner;
  }

  /** Forgets what was not offered for long enough. */
  async sweep(): Promise<void> {
    for (const [name, stored, revision] of [...this.#mirror.entries()]) {
      if (!this.#isKept(stored)) await this.#forget(name, revision);
    }
  }

  /** Tells of each name that its owner has no more, with that former owner, until disposed. */
  watchLost(listener: (name: string, owner: string) => void): Disposable {
    this.#listeners.add(listener);
    return { [Symbol.dispose]: () => void this.#listeners.delete(listener) };
  }

  [Symbol.dispose](): void {
    this.#mirror[Symbol.dispose]();
    this.#listeners.clear();
  }

  #note(name: string, owner: string): Promise<void> {
    return retryOnConflict(async () => {
      const entry = await this.#store.get(PREFIX + name);
      const current = entry === null ? undefined : parseStored(entry.value);
      if (entry === null || current?.owner !== owner || !this.#isDue(current)) return;
      await this.#put(name, { ...current, offeredAt: this.#now() }, entry.revision);
    });
  }

  /** Several claims passed the quota at the same time: those that the store wrote last take themselves back. */
  async #assertAmongFirst(name: string, owner: string, revision: number): Promise<void> {
    try {
      this.#assertQuota(owner, revision);
    } catch (error) {
      await this.#forget(name, revision);
      throw error;
    }
  }

  #assertQuota(owner: string, before: number): void {
    let count = 0;
    for (const [, stored, revision] of this.#mirror.entries()) {
      if (stored.owner === owner && revision < before && this.#isKept(stored)) count++;
    }
    if (count < MAX_SERVICE_NAMES) return;
    throw new CodedError("QUOTA_EXCEEDED", `An owner may have ${MAX_SERVICE_NAMES} service names, and has them`);
  }

  #keptUntil({ offeredAt, temporary }: StoredName): number {
    return offeredAt + (temporary === undefined ? NAME_REST_MS : this.#temporaryMs);
  }

  #isKept(stored: StoredName): boolean {
    return this.#now() < this.#keptUntil(stored);
  }

  /** Whether it is to be written that it is offered: of what is kept for minutes each time. */
  #isDue({ offeredAt, temporary }: StoredName): boolean {
    return temporary !== undefined || offeredAt + NOTE_INTERVAL_MS <= this.#now();
  }

  async #put(name: string, stored: StoredName, expect: number): Promise<number> {
    const revision = await this.#store.put(PREFIX + name, stored, { expect });
    this.#mirror.applyPut(name, stored, revision);
    return revision;
  }

  /** Removes what was last written with that revision; leaves what somebody has changed since. */
  async #forget(name: string, revision: number): Promise<void> {
    try {
      await this.#store.delete(PREFIX + name, { expect: revision });
    } catch (error) {
      if (error instanceof CodedError && error.kind === "STATE_CONFLICT") return;
      throw error;
    }
    this.#mirror.applyDelete(name);
  }

  #tell(name: string, owner: string): void {
    for (const listener of this.#listeners) listener(name, owner);
  }
}

function parseStored(value: unknown): StoredName {
  const record = asRecord(value);
  checkFields(record, { owner: "string", offeredAt: "number" });
  return record as unknown as StoredName;
}

/** The error for what is another owner's: it says that, and never whose. */
export function serviceTaken(name: string): CodedError {
  return new CodedError("SERVICE_TAKEN", `The service name "${name}" belongs to another owner`);
}

/** The error for what was the owner's own, and still offered, when the operator made it free. */
export function serviceWithdrawn(name: string): CodedError {
  return new CodedError("SERVICE_WITHDRAWN", `The operator has taken the service name "${name}" away from its owner`);
}
