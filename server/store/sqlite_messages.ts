/** One operation for the SQLite worker; `expect` as in `StoreWriteOptions`, `text` is JSON. */
export type SqliteOperation =
  | { readonly kind: "get"; readonly key: string }
  | { readonly kind: "put"; readonly key: string; readonly text: string; readonly expect: number | undefined }
  | { readonly kind: "delete"; readonly key: string; readonly expect: number | undefined }
  | { readonly kind: "list"; readonly prefix: string }
  | { readonly kind: "watch"; readonly prefix: string };

/** A row as the worker sends it; `text` is null when the key was removed. */
export interface SqliteRow {
  readonly key: string;
  readonly text: string | null;
  readonly revision: number;
}

/** What became of one operation. `revision` of rows is the state of the whole store that they show. */
export type SqliteResult =
  | { readonly kind: "row"; readonly row: SqliteRow | null }
  | { readonly kind: "rows"; readonly rows: readonly SqliteRow[]; readonly revision: number }
  | { readonly kind: "written"; readonly revision: number }
  | { readonly kind: "conflict" }
  | { readonly kind: "failed"; readonly message: string };

/** Main thread to worker. One batch is under way at a time. */
export type SqliteRequest =
  | { readonly kind: "open"; readonly path: string }
  | { readonly kind: "batch"; readonly operations: readonly SqliteOperation[] }
  | { readonly kind: "unwatch" }
  | { readonly kind: "close" };

/** Worker to main thread. `changes` are in order of revision. */
export type SqliteReply =
  | { readonly kind: "opened" }
  | { readonly kind: "unavailable"; readonly message: string }
  | { readonly kind: "results"; readonly results: readonly SqliteResult[] }
  | { readonly kind: "changes"; readonly rows: readonly SqliteRow[] }
  | { readonly kind: "trouble"; readonly message: string }
  | { readonly kind: "closed" };
