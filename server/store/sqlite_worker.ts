/// <reference no-default-lib="true" />
/// <reference lib="deno.worker" />
/** The thread that owns the database file: an fsync here never stops the relaying of the main thread. */
import { SqliteDatabase } from "./sqlite_database.ts";
import type { SqliteOperation, SqliteReply, SqliteRequest, SqliteResult } from "./sqlite_messages.ts";

/** How soon a change by another process is seen; one poll without a change costs microseconds. */
const POLL_INTERVAL_MS = 250;

let database: SqliteDatabase | undefined;
let poll: ReturnType<typeof setInterval> | undefined;

self.onmessage = (event: MessageEvent<SqliteRequest>): void => handle(event.data);

function handle(request: SqliteRequest): void {
  switch (request.kind) {
    case "open":
      return open(request.path);
    case "batch":
      return runBatch(request.operations);
    case "unwatch":
      return stopPolling();
    case "close":
      stopPolling();
      database?.[Symbol.dispose]();
      return reply({ kind: "closed" });
    default:
      return request satisfies never;
  }
}

function open(path: string): void {
  try {
    database = new SqliteDatabase(path);
    reply({ kind: "opened" });
  } catch (error) {
    reply({ kind: "unavailable", message: messageOf(error) });
  }
}

function runBatch(operations: readonly SqliteOperation[]): void {
  if (operations.some((operation) => operation.kind === "watch")) startPolling();
  const results = runOperations(operations);
  // Before the results: a watch is complete up to the state that its own rows show.
  if (poll !== undefined) reportChanges(true);
  reply({ kind: "results", results });
}

/** When the transaction fails, all its writes failed; reads still deserve their own answer (the disk may be full). */
function runOperations(operations: readonly SqliteOperation[]): SqliteResult[] {
  try {
    return database!.run(operations);
  } catch (error) {
    const failed: SqliteResult = { kind: "failed", message: messageOf(error) };
    return operations.map((operation) => isWrite(operation) ? failed : readAlone(operation));
  }
}

function readAlone(operation: SqliteOperation): SqliteResult {
  try {
    return database!.run([operation])[0]!;
  } catch (error) {
    return { kind: "failed", message: messageOf(error) };
  }
}

function isWrite(operation: SqliteOperation): boolean {
  return operation.kind === "put" || operation.kind === "delete";
}

function startPolling(): void {
  if (poll !== undefined) return;
  try {
    database!.startWatching();
  } catch (error) {
    reply({ kind: "trouble", message: messageOf(error) });
  }
  poll = setInterval(() => reportChanges(false), POLL_INTERVAL_MS);
}

function stopPolling(): void {
  clearInterval(poll);
  poll = undefined;
}

function reportChanges(own: boolean): void {
  try {
    const rows = database!.changes(own);
    if (rows.length > 0) reply({ kind: "changes", rows });
  } catch (error) {
    reply({ kind: "trouble", message: messageOf(error) });
  }
}

function reply(message: SqliteReply): void {
  self.postMessage(message);
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
