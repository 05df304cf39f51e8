import { CodedError } from "../../protocol/errors.ts";

/** One stored value; `value` is a private copy. `revision` grows with every change of the whole store, never 0. */
export interface StoreEntry {
  readonly key: string;
  readonly value: unknown;
  readonly revision: number;
}

/** What a watch reports: the newest state of one key. States in between may be left out. */
export type StoreChange =
  | { readonly kind: "put"; readonly key: string; readonly value: unknown; readonly revision: number }
  | { readonly kind: "delete"; readonly key: string; readonly revision: number };

/** Compare-and-set: `expect` is the revision that must be current; 0 means that the key must not exist. */
export interface StoreWriteOptions {
  readonly expect?: number;
}

/**
 * A small key-value store with compare-and-set and watch. Nothing here assumes one process, one disk or one machine.
 *
 * Keys are tokens joined by dots (`tunnels.6f1e`), a prefix is whole tokens with its last dot (`tunnels.`) or empty, and
 * values are JSON of at most {@link MAX_VALUE_LENGTH}. A write that was acknowledged survives the loss of the process.
 * Writes throw `STATE_CONFLICT` when `expect` is not met; every operation throws `STATE_UNAVAILABLE` when the store fails.
 */
export interface Store extends AsyncDisposable {
  /** The value at `key`, or null. */
  get(key: string): Promise<StoreEntry | null>;
  /** Writes, and returns the new revision once it is safe. */
  put(key: string, value: unknown, options?: StoreWriteOptions): Promise<number>;
  /** Removes; removing what is not there is no error unless `expect` names a revision. */
  delete(key: string, options?: StoreWriteOptions): Promise<void>;
  /** All entries below `prefix`, by key. */
  list(prefix: string): Promise<StoreEntry[]>;
  /**
   * Reports every entry below `prefix` as a `put`, then resolves, then reports each change (of any process) until disposed,
   * in order of revision. A listener must not throw.
   */
  watch(prefix: string, listener: (change: StoreChange) => void): Promise<Disposable>;
}

/** Longest key: fits a host name of 253 with its prefix many times over. */
const MAX_KEY_LENGTH = 512;
/** Longest value as JSON text: half of what a NATS server takes in one message. */
export const MAX_VALUE_LENGTH = 512 * 1024;

const KEY = /^[A-Za-z0-9_=-]+(?:\.[A-Za-z0-9_=-]+)*$/;

/** Throws a TypeError unless `key` is dot-joined tokens of `A-Z a-z 0-9 _ = -`. */
export function checkKey(key: string): void {
  if (key.length > MAX_KEY_LENGTH || !KEY.test(key)) {
    throw new TypeError(`Cannot use the key "${key.slice(0, 80)}": it must be tokens joined by dots`);
  }
}

/** Throws a TypeError unless `prefix` is empty or a key followed by one dot. */
export function checkPrefix(prefix: string): void {
  if (prefix === "") return;
  if (!prefix.endsWith(".")) throw new TypeError(`Cannot use the prefix "${prefix}": it must end with a dot`);
  checkKey(prefix.slice(0, -1));
}

/** `value` as JSON text; throws a TypeError for what JSON cannot hold and a RangeError for too much of it. */
export function encodeValue(value: unknown): string {
  const text: string | undefined = JSON.stringify(value);
  if (text === undefined) throw new TypeError(`Cannot store a value of type ${typeof value}`);
  if (text.length > MAX_VALUE_LENGTH) {
    throw new RangeError(`Cannot store ${text.length} characters of JSON: at most ${MAX_VALUE_LENGTH}`);
  }
  return text;
}

/** The error of a lost compare-and-set. */
export function conflict(key: string): CodedError {
  return new CodedError("STATE_CONFLICT", `"${key}" was changed by somebody else at the same time`);
}
