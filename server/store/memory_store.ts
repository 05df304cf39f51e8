import { CodedError } from "../../protocol/errors.ts";
import {
  checkKey,
  checkPrefix,
  conflict,
  encodeValue,
  type Store,
  type StoreChange,
  type StoreEntry,
  type StoreWriteOptions,
} from "./store.ts";

interface Cell {
  readonly text: string;
  readonly revision: number;
}

interface Watch {
  readonly prefix: string;
  readonly listener: (change: StoreChange) => void;
}

/** A store that lives as long as its process: for tests and for servers whose state may be lost. */
export class MemoryStore implements Store {
  readonly #cells = new Map<string, Cell>();
  readonly #watches = new Set<Watch>();
  #revision = 0;
  #closed = false;

  get(key: string): Promise<StoreEntry | null> {
    return this.#run(() => {
      checkKey(key);
      const cell = this.#cells.get(key);
      return cell === undefined ? null : toEntry(key, cell);
    });
  }

  put(key: string, value: unknown, options: StoreWriteOptions = {}): Promise<number> {
    return this.#run(() => {
      checkKey(key);
      const text = encodeValue(value);
      this.#expect(key, options.expect);
      const revision = ++this.#revision;
      this.#cells.set(key, { text, revision });
      this.#report(key, () => ({ kind: "put", key, value: JSON.parse(text), revision }));
      return revision;
    });
  }

  delete(key: string, options: StoreWriteOptions = {}): Promise<void> {
    return this.#run(() => {
      checkKey(key);
      this.#expect(key, options.expect);
      if (!this.#cells.delete(key)) return;
      const revision = ++this.#revision;
      this.#report(key, () => ({ kind: "delete", key, revision }));
    });
  }

  list(prefix: string): Promise<StoreEntry[]> {
    return this.#run(() => {
      checkPrefix(prefix);
      return this.#entries(prefix);
    });
  }

  watch(prefix: string, listener: (change: StoreChange) => void): Promise<Disposable> {
    return this.#run(() => {
      checkPrefix(prefix);
      const watch: Watch = { prefix, listener };
      for (const entry of this.#entries(prefix)) listener({ kind: "put", ...entry });
      this.#watches.add(watch);
      return { [Symbol.dispose]: () => void this.#watches.delete(watch) };
    });
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
    this.#watches.clear();
    return Promise.resolve();
  }

  /** Runs on a later turn, so that callers meet the same interleavings as with a store that does I/O. */
  async #run<T>(work: () => T): Promise<T> {
    await Promise.resolve();
    if (this.#closed) throw new CodedError("STATE_UNAVAILABLE", "The store is closed");
    return work();
  }

  #entries(prefix: string): StoreEntry[] {
    const keys = [...this.#cells.keys()].filter((key) => key.startsWith(prefix)).sort();
    return keys.map((key) => toEntry(key, this.#cells.get(key)!));
  }

  #expect(key: string, expect: number | undefined): void {
    if (expect !== undefined && expect !== (this.#cells.get(key)?.revision ?? 0)) throw conflict(key);
  }

  #report(key: string, change: () => StoreChange): void {
    for (const watch of this.#watches) {
      if (key.startsWith(watch.prefix)) watch.listener(change());
    }
  }
}

function toEntry(key: string, cell: Cell): StoreEntry {
  return { key, value: JSON.parse(cell.text), revision: cell.revision };
}
