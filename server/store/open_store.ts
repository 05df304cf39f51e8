import { join } from "node:path";
import type { Logger } from "../../net/log.ts";
import { MemoryStore } from "./memory_store.ts";
import { openSqliteStore } from "./sqlite_store.ts";
import { prepareStateFolder, STORE_FILE } from "./state_folder.ts";
import type { Store } from "./store.ts";

/** The store in a folder, or in memory when there is none. @throws {CodedError} STATE_UNAVAILABLE */
export async function openStore(stateDir: string | undefined, log: Logger): Promise<Store> {
  if (stateDir === undefined) return new MemoryStore();
  await prepareStateFolder(stateDir);
  return await openSqliteStore(join(stateDir, STORE_FILE), { log });
}

/** Whether the store still works: without it nobody new can come, though what is connected goes on. */
export async function answers(store: Store): Promise<boolean> {
  try {
    await store.get("readyz");
    return true;
  } catch {
    return false; // The store has logged why.
  }
}
