import assert from "node:assert/strict";
import { SILENT } from "../../net/log.ts";
import { MemoryStore } from "./memory_store.ts";
import { StoreMirror } from "./store_mirror.ts";

Deno.test("StoreMirror follows its prefix, and reports each change once", async () => {
  await using store = new MemoryStore();
  const seen: unknown[][] = [];
  using mirror = new StoreMirror<number>("n.", {
    parse: asNumber,
    onChange: (...change) => seen.push(change),
    log: SILENT,
  });
  await store.put("n.a", 1);
  await mirror.follow(store);
  mirror.applyPut("a", 2, await store.put("n.a", 2));
  await store.put("other.b", 3);
  await store.delete("n.a");
  mirror.applyDelete("a");
  assert.deepEqual(seen, [["a", 1, undefined], ["a", 2, 1], ["a", undefined, 2]]);
  assert.deepEqual([...mirror.entries()], []);
});

Deno.test("StoreMirror keeps an own write against an older report", async () => {
  await using store = new MemoryStore();
  using mirror = new StoreMirror<number>("n.", { parse: asNumber, log: SILENT });
  mirror.applyPut("a", 9, 1_000);
  await mirror.follow(store);
  await store.put("n.a", 1);
  await store.delete("n.a");
  assert.equal(mirror.get("a"), 9);
});

Deno.test("StoreMirror drops a record that became unreadable", async () => {
  await using store = new MemoryStore();
  const errors: string[] = [];
  const log = { ...SILENT, error: (event: string) => void errors.push(event) };
  using mirror = new StoreMirror<number>("n.", { parse: asNumber, log });
  await mirror.follow(store);
  await store.put("n.a", 1);
  await store.put("n.a", "garbage");
  assert.equal(mirror.get("a"), undefined);
  assert.deepEqual(errors, ["state record unreadable"]);
});

function asNumber(value: unknown): number {
  if (typeof value !== "number") throw new TypeError("not a number");
  return value;
}
