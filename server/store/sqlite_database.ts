import { DatabaseSync, type StatementSync } from "node:sqlite";
import type { SqliteOperation, SqliteResult, SqliteRow } from "./sqlite_messages.ts";

/** How long a write waits for another process: its transactions take milliseconds, so 5 s means that it hangs. */
const BUSY_TIMEOUT_MS = 5_000;
/** Marks the file as ours ("spks"), so that a foreign database is refused instead of written to. */
const APPLICATION_ID = 0x73_70_6b_73;
const SCHEMA_VERSION = 1;
/** Removed keys stay as empty rows for this long, so that a process that slept over the weekend still learns of them. */
const TOMBSTONE_MS = 7 * 24 * 3_600_000;
/** After a burst the write-ahead log is cut back to this. */
const JOURNAL_SIZE_LIMIT_BYTES = 4 * 1024 * 1024;

const SCHEMA = `
  CREATE TABLE IF NOT EXISTS counter (id INTEGER PRIMARY KEY CHECK (id = 1), revision INTEGER NOT NULL) STRICT;
  INSERT OR IGNORE INTO counter VALUES (1, 0);
  CREATE TABLE IF NOT EXISTS entries (
    key TEXT PRIMARY KEY NOT NULL, text TEXT, revision INTEGER NOT NULL, changed INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX IF NOT EXISTS entries_revision ON entries (revision);
`;

/** The SQL side of the SQLite store: synchronous, for use in a worker. Every method throws what `node:sqlite` throws. */
export class SqliteDatabase implements Disposable {
  readonly #database: DatabaseSync;
  readonly #get: StatementSync;
  readonly #put: StatementSync;
  readonly #listAll: StatementSync;
  readonly #listRange: StatementSync;
  readonly #changes: StatementSync;
  readonly #next: StatementSync;
  readonly #revision: StatementSync;
  readonly #version: StatementSync;
  #seenVersion = -1;
  #seenRevision = 0;

  constructor(path: string) {
    this.#database = new DatabaseSync(path);
    try {
      prepareDatabase(this.#database);
      this.#get = this.#database.prepare("SELECT key, text, revision FROM entries WHERE key = ?");
      this.#put = this.#database.prepare(
        "INSERT INTO entries (key, text, revision, changed) VALUES (?, ?, ?, ?) " +
          "ON CONFLICT (key) DO UPDATE SET text = excluded.text, revision = excluded.revision, changed = excluded.changed",
      );
      const list = "SELECT key, text, revision FROM entries WHERE text IS NOT NULL";
      this.#listAll = this.#database.prepare(`${list} ORDER BY key`);
      this.#listRange = this.#database.prepare(`${list} AND key >= ? AND key < ? ORDER BY key`);
      this.#changes = this.#database.prepare(
        "SELECT key, text, revision FROM entries WHERE revision > ? ORDER BY revision",
      );
      this.#next = this.#database.prepare("UPDATE counter SET revision = revision + 1 RETURNING revision");
      this.#revision = this.#database.prepare("SELECT revision FROM counter");
      this.#version = this.#database.prepare("PRAGMA data_version");
    } catch (error) {
      this.#database.close();
      throw error;
    }
  }

  /** Runs all operations, the writes in one transaction: they are on disk when this returns, or none is. */
  run(operations: readonly SqliteOperation[]): SqliteResult[] {
    const writes = operations.some((operation) => operation.kind === "put" || operation.kind === "delete");
    return this.#transaction(writes ? "IMMEDIATE" : "DEFERRED", () => operations.map((each) => this.#apply(each)));
  }

  /** Forgets what was reported: `changes` then reports what comes after this moment. */
  startWatching(): void {
    this.#seenVersion = this.#dataVersion();
    this.#seenRevision = this.#currentRevision();
  }

  /** What changed since the last call, by this or any process; `own` says that this process wrote. */
  changes(own: boolean): SqliteRow[] {
    const version = this.#dataVersion();
    if (!own && version === this.#seenVersion) return [];
    const rows = this.#changes.all(this.#seenRevision).map(toRow);
    this.#seenVersion = version;
    this.#seenRevision = rows.at(-1)?.revision ?? this.#seenRevision;
    return rows;
  }

  [Symbol.dispose](): void {
    this.#database.close();
  }

  #apply(operation: SqliteOperation): SqliteResult {
    switch (operation.kind) {
      case "get": {
        const row = this.#get.get(operation.key);
        return { kind: "row", row: row === undefined || row.text === null ? null : toRow(row) };
      }
      case "list":
      case "watch":
        return { kind: "rows", rows: this.#list(operation.prefix), revision: this.#currentRevision() };
      case "put":
        return this.#write(operation.key, operation.text, operation.expect);
      case "delete":
        return this.#write(operation.key, null, operation.expect);
      default:
        return operation satisfies never;
    }
  }

  #write(key: string, text: string | null, expect: number | undefined): SqliteResult {
    const row = this.#get.get(key);
    const current = row === undefined || row.text === null ? 0 : Number(row.revision);
    if (expect !== undefined && expect !== current) return { kind: "conflict" };
    if (text === null && current === 0) return { kind: "written", revision: this.#currentRevision() };
    const revision = Number(this.#next.get()!.revision);
    this.#put.run(key, text, revision, Date.now());
    return { kind: "written", revision };
  }

  #list(prefix: string): SqliteRow[] {
    if (prefix === "") return this.#listAll.all().map(toRow);
    // "/" is the character after ".": the range holds exactly the keys that begin with the prefix.
    return this.#listRange.all(prefix, `${prefix.slice(0, -1)}/`).map(toRow);
  }

  #currentRevision(): number {
    return Number(this.#revision.get()!.revision);
  }

  #dataVersion(): number {
    return Number(this.#version.get()!.data_version);
  }

  #transaction<T>(mode: "IMMEDIATE" | "DEFERRED", work: () => T): T {
    this.#database.exec(`BEGIN ${mode}`);
    try {
      const result = work();
      this.#database.exec("COMMIT");
      return result;
    } catch (error) {
      try {
        this.#database.exec("ROLLBACK");
      } catch {
        // SQLite has rolled back by itself (disk full, I/O error); the first error is the one to report.
      }
      throw error;
    }
  }
}

function prepareDatabase(database: DatabaseSync): void {
  database.exec(`PRAGMA busy_timeout = ${BUSY_TIMEOUT_MS}`);
  const version = readSchemaVersion(database);
  enterWalMode(database);
  database.exec(`PRAGMA synchronous = FULL; PRAGMA journal_size_limit = ${JOURNAL_SIZE_LIMIT_BYTES}`);
  const check = database.prepare("PRAGMA quick_check(1)").get()!.quick_check;
  if (check !== "ok") throw new Error(`it is damaged: ${String(check)}`);
  database.exec("BEGIN IMMEDIATE");
  try {
    if (version < SCHEMA_VERSION) {
      database.exec(SCHEMA);
      database.exec(`PRAGMA application_id = ${APPLICATION_ID}; PRAGMA user_version = ${SCHEMA_VERSION}`);
    }
    database.prepare("DELETE FROM entries WHERE text IS NULL AND changed < ?").run(Date.now() - TOMBSTONE_MS);
    database.exec("COMMIT");
  } catch (error) {
    database.exec("ROLLBACK");
    throw error;
  }
}

/** One transaction, since another process may be creating the schema at this moment. */
function readSchemaVersion(database: DatabaseSync): number {
  database.exec("BEGIN");
  try {
    const application = Number(database.prepare("PRAGMA application_id").get()!.application_id);
    const version = Number(database.prepare("PRAGMA user_version").get()!.user_version);
    const tables = Number(database.prepare("SELECT count(*) AS n FROM sqlite_schema").get()!.n);
    if (application !== APPLICATION_ID && (application !== 0 || tables !== 0)) {
      throw new Error("it is the database of another program");
    }
    if (version > SCHEMA_VERSION) throw new Error(`it was written by a newer version (schema ${version})`);
    return version;
  } finally {
    database.exec("COMMIT");
  }
}

/** SQLite does not use its busy handler for this switch, so several processes that start together need our own. */
function enterWalMode(database: DatabaseSync): void {
  const pause = new Int32Array(new SharedArrayBuffer(4));
  for (let waited = 0;; waited += 20) {
    try {
      // prepare(), because exec() throws without `errcode`.
      database.prepare("PRAGMA journal_mode = WAL").get();
      return;
    } catch (error) {
      if (waited >= BUSY_TIMEOUT_MS || (error as { errcode?: number }).errcode !== 5 /* SQLITE_BUSY */) throw error;
      Atomics.wait(pause, 0, 0, 20);
    }
  }
}

function toRow(row: Record<string, unknown>): SqliteRow {
  return { key: String(row.key), text: row.text === null ? null : String(row.text), revision: Number(row.revision) };
}
