import type { Logger } from "../../net/log.ts";
import type { Store, StoreChange } from "./store.ts";

export interface StoreMirrorOptions<T> {
  /** The record in a stored value; throws for what it does not understand, which is then left out. */
  readonly parse: (value: unknown) => T;
  /** Called after the mirror changed; `previous` and `next` are undefined where there is no record. */
  readonly onChange?: (id: string, next: T | undefined, previous: T | undefined) => void;
  readonly log: Logger;
}

interface Mirrored<T> {
  readonly record: T;
  readonly revision: number;
}

/**
 * The records below one prefix, in memory, by their key without the prefix: what live traffic reads, so that it never waits
 * for the store. It follows other processes within the store's watch delay.
 */
export class StoreMirror<T> implements Disposable {
  readonly #prefix: string;
  readonly #options: StoreMirrorOptions<T>;
  readonly #records = new Map<string, Mirrored<T>>();
  #watch: Disposable | undefined;

  constructor(prefix: string, options: StoreMirrorOptions<T>) {
    this.#prefix = prefix;
    this.#options = options;
  }

  /** Fills the mirror and keeps it up to date until disposed. */
  async follow(store: Store): Promise<void> {
    this.#watch = await store.watch(this.#prefix, (change) => this.#receive(change));
  }

  get(id: string): T | undefined {
    return this.#records.get(id)?.record;
  }

  /** Every record with the revision that wrote it. */
  *entries(): Generator<[id: string, record: T, revision: number]> {
    for (const [id, { record, revision }] of this.#records) yield [id, record, revision];
  }

  /** Shows an own write at once; an older report of the store that comes later is ignored. */
  applyPut(id: string, record: T, revision: number): void {
    const known = this.#records.get(id);
    if (known !== undefined && known.revision >= revision) return;
    this.#records.set(id, { record, revision });
    this.#options.onChange?.(id, record, known?.record);
  }

  /** Shows an own deletion at once. */
  applyDelete(id: string): void {
    const known = this.#records.get(id);
    if (!this.#records.delete(id)) return;
    this.#options.onChange?.(id, undefined, known?.record);
  }

  [Symbol.dispose](): void {
    this.#watch?.[Symbol.dispose]();
  }

  #receive(change: StoreChange): void {
    const id = change.key.slice(this.#prefix.length);
    const known = this.#records.get(id);
    if (known !== undefined && known.revision >= change.revision) return;
    if (change.kind === "delete") return this.applyDelete(id);
    try {
      this.applyPut(id, this.#options.parse(change.value), change.revision);
    } catch (error) {
      // Fail closed: a record that cannot be understood grants nothing, also not what its older state granted.
      this.#options.log.error("state record unreadable", { key: change.key, reason: String(error) });
      this.applyDelete(id);
    }
  }
}
