import { CodedError } from "../../protocol/errors.ts";
import { type Logger, SILENT } from "../../net/log.ts";
import type { SqliteOperation, SqliteReply, SqliteRequest, SqliteResult, SqliteRow } from "./sqlite_messages.ts";
import { prepareStateFile } from "./state_folder.ts";
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

/** Operations that share one transaction, so one fsync: enough to absorb a reconnect storm, a few ms of work. */
const MAX_BATCH = 256;
/** Operations that may wait; beyond it the disk is hopelessly behind and callers had better know. */
const MAX_WAITING = 16_384;

export interface SqliteStoreOptions {
  /** Told when the watch cannot read the file. */
  readonly log?: Logger;
}

interface Waiting {
  readonly operation: SqliteOperation;
  readonly settle: (result: SqliteResult) => void;
  readonly fail: (error: Error) => void;
}

interface Watch {
  readonly prefix: string;
  readonly listener: (change: StoreChange) => void;
  /** Changes up to this revision were delivered as rows of the list. */
  readonly after: number;
}

/**
 * Opens (or creates, 0600) the store in the SQLite file `path`, whose folder must exist. Several processes may use one file
 * at once. Throws `STATE_UNAVAILABLE` with the path when it cannot be used.
 */
export async function openSqliteStore(path: string, options: SqliteStoreOptions = {}): Promise<Store> {
  await prepareStateFile(path);
  const worker = new Worker(new URL("./sqlite_worker.ts", import.meta.url), { type: "module", name: "state" });
  const store = new SqliteStore(worker, path, options.log ?? SILENT);
  try {
    await store.opened;
  } catch (error) {
    worker.terminate();
    throw error;
  }
  return store;
}

class SqliteStore implements Store {
  readonly opened: Promise<void>;
  readonly #worker: Worker;
  readonly #path: string;
  readonly #log: Logger;
  readonly #ready = Promise.withResolvers<void>();
  readonly #drained = Promise.withResolvers<void>();
  readonly #watches = new Set<Watch>();
  #waiting: Waiting[] = [];
  #underWay: Waiting[] = [];
  #closing: Promise<void> | undefined;
  #failure: CodedError | undefined;

  constructor(worker: Worker, path: string, log: Logger) {
    this.#worker = worker;
    this.#path = path;
    this.#log = log;
    this.opened = this.#ready.promise;
    worker.onmessage = (event: MessageEvent<SqliteReply>) => this.#receive(event.data);
    worker.onerror = (event) => {
      event.preventDefault();
      this.#fail(event.message);
    };
    this.#send({ kind: "open", path });
  }

  async get(key: string): Promise<StoreEntry | null> {
    checkKey(key);
    const result = await this.#submit({ kind: "get", key });
    if (result.kind !== "row") throw this.#unexpected(result);
    return result.row === null ? null : toEntry(result.row);
  }

  async put(key: string, value: unknown, options: StoreWriteOptions = {}): Promise<number> {
    checkKey(key);
    return await this.#write({ kind: "put", key, text: encodeValue(value), expect: options.expect });
  }

  async delete(key: string, options: StoreWriteOptions = {}): Promise<void> {
    checkKey(key);
    await this.#write({ kind: "delete", key, expect: options.expect });
  }

  async list(prefix: string): Promise<StoreEntry[]> {
    checkPrefix(prefix);
    const result = await this.#submit({ kind: "list", prefix });
    if (result.kind !== "rows") throw this.#unexpected(result);
    return result.rows.map(toEntry);
  }

  async watch(prefix: string, listener: (change: StoreChange) => void): Promise<Disposable> {
    checkPrefix(prefix);
    const { promise, resolve, reject } = Promise.withResolvers<Disposable>();
    // Not by await: the watch must be in place before the next message of the worker is handled.
    const settle = (result: SqliteResult): void => {
      if (result.kind !== "rows") return reject(this.#unexpected(result));
      const watch: Watch = { prefix, listener, after: result.revision };
      this.#watches.add(watch);
      for (const row of result.rows) this.#notify(watch, row);
      resolve({ [Symbol.dispose]: () => this.#unwatch(watch) });
    };
    this.#enqueue({ operation: { kind: "watch", prefix }, settle, fail: reject });
    return await promise;
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  /** Writes that were accepted are finished first. */
  async #close(): Promise<void> {
    this.#watches.clear();
    if (this.#failure === undefined) {
      if (this.#waiting.length === 0 && this.#underWay.length === 0) this.#send({ kind: "close" });
      await this.#drained.promise;
    }
    this.#worker.terminate();
  }

  async #write(operation: SqliteOperation & { kind: "put" | "delete" }): Promise<number> {
    const result = await this.#submit(operation);
    if (result.kind === "conflict") throw conflict(operation.key);
    if (result.kind !== "written") throw this.#unexpected(result);
    return result.revision;
  }

  #submit(operation: SqliteOperation): Promise<SqliteResult> {
    const { promise, resolve, reject } = Promise.withResolvers<SqliteResult>();
    this.#enqueue({ operation, settle: resolve, fail: reject });
    return promise;
  }

  #enqueue(waiting: Waiting): void {
    if (this.#failure !== undefined) return waiting.fail(this.#failure);
    if (this.#closing !== undefined) return waiting.fail(this.#unavailable("the store is closed"));
    if (this.#waiting.length >= MAX_WAITING) return waiting.fail(this.#unavailable("the disk cannot keep up"));
    this.#waiting.push(waiting);
    this.#flush();
  }

  /** One batch at a time: what arrives meanwhile shares the next transaction and its fsync. */
  #flush(): void {
    if (this.#underWay.length > 0 || this.#waiting.length === 0) return;
    this.#underWay = this.#waiting.slice(0, MAX_BATCH);
    this.#waiting = this.#waiting.slice(MAX_BATCH);
    this.#send({ kind: "batch", operations: this.#underWay.map((each) => each.operation) });
  }

  #receive(reply: SqliteReply): void {
    switch (reply.kind) {
      case "opened":
        return this.#ready.resolve();
      case "unavailable":
        return this.#fail(reply.message);
      case "results":
        return this.#settle(reply.results);
      case "changes":
        for (const row of reply.rows) this.#spread(row);
        return;
      case "trouble":
        return this.#log.warn("state watch failed", { path: this.#path, reason: reply.message });
      case "closed":
        return this.#drained.resolve();
      default:
        return reply satisfies never;
    }
  }

  #settle(results: readonly SqliteResult[]): void {
    const done = this.#underWay;
    this.#underWay = [];
    for (const [index, each] of done.entries()) each.settle(results[index]!);
    this.#flush();
    if (this.#closing !== undefined && this.#underWay.length === 0) this.#send({ kind: "close" });
  }

  #spread(row: SqliteRow): void {
    for (const watch of this.#watches) {
      if (row.revision > watch.after && row.key.startsWith(watch.prefix)) this.#notify(watch, row);
    }
  }

  #notify(watch: Watch, row: SqliteRow): void {
    const { key, revision } = row;
    try {
      watch.listener(
        row.text === null
          ? { kind: "delete", key, revision }
          : { kind: "put", key, value: JSON.parse(row.text), revision },
      );
    } catch (error) {
      // One listener must not keep the others from hearing of a revocation.
      this.#log.error("state listener failed", { key, reason: String(error) });
    }
  }

  #unwatch(watch: Watch): void {
    if (this.#watches.delete(watch) && this.#watches.size === 0 && this.#closing === undefined) {
      const establishing = [...this.#underWay, ...this.#waiting].some((each) => each.operation.kind === "watch");
      if (!establishing) this.#send({ kind: "unwatch" });
    }
  }

  #fail(message: string): void {
    this.#failure ??= this.#unavailable(message);
    this.#ready.reject(this.#failure);
    this.#drained.resolve();
    const lost = [...this.#underWay, ...this.#waiting];
    this.#underWay = [];
    this.#waiting = [];
    for (const each of lost) each.fail(this.#failure);
  }

  #send(request: SqliteRequest): void {
    this.#worker.postMessage(request);
  }

  #unexpected(result: SqliteResult): CodedError {
    return this.#unavailable(result.kind === "failed" ? result.message : `unexpected answer "${result.kind}"`);
  }

  #unavailable(reason: string): CodedError {
    return new CodedError("STATE_UNAVAILABLE", `Cannot use the state in "${this.#path}": ${reason}`);
  }
}

function toEntry(row: SqliteRow): StoreEntry {
  return { key: row.key, value: JSON.parse(row.text ?? "null"), revision: row.revision };
}
