/** Writes `acked.1`, `acked.2`, ... to the SQLite store named by the first argument and prints each number once acknowledged. */
import { openSqliteStore } from "../sqlite_store.ts";

const store = await openSqliteStore(Deno.args[0]!);
const encoder = new TextEncoder();
let next = 1;

async function write(): Promise<void> {
  for (;;) {
    const number = next++;
    await store.put(`acked.${number}`, { number }, { expect: 0 });
    Deno.stdout.writeSync(encoder.encode(`${number}\n`));
  }
}

await Promise.all(Array.from({ length: 8 }, write));
