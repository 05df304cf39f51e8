import type { Store, StoreChange } from "../store.ts";

/** A watch for tests: keeps what was reported, and waits for what is to come. */
export interface CollectedChanges extends Disposable {
  readonly changes: readonly StoreChange[];
  /** Resolves once some reported change fulfils `matches`. */
  until(matches: (change: StoreChange) => boolean): Promise<StoreChange>;
}

/** Watches `prefix` of `store`. */
export async function collectChanges(store: Store, prefix: string): Promise<CollectedChanges> {
  const changes: StoreChange[] = [];
  const waiting = new Set<() => void>();
  const watch = await store.watch(prefix, (change) => {
    changes.push(change);
    for (const check of waiting) check();
  });
  return {
    changes,
    until(matches): Promise<StoreChange> {
      return new Promise((resolve) => {
        function check(): void {
          const found = changes.find(matches);
          if (found === undefined) return;
          waiting.delete(check);
          resolve(found);
        }
        waiting.add(check);
        check();
      });
    },
    [Symbol.dispose]: () => watch[Symbol.dispose](),
  };
}
