import assert from "node:assert/strict";
import { CodedError } from "../../protocol/errors.ts";
import { MemoryStore } from "./memory_store.ts";
import { openSqliteStore } from "./sqlite_store.ts";
import { MAX_VALUE_LENGTH, type Store } from "./store.ts";
import { collectChanges } from "./testing/collect_changes.ts";

interface Setup extends AsyncDisposable {
  readonly store: Store;
}

const IMPLEMENTATIONS: readonly [string, () => Promise<Setup>][] = [["MemoryStore", memory], ["SqliteStore", sqlite]];

for (const [name, open] of IMPLEMENTATIONS) {
  test("get() is null for a key that was never written", async (store) => {
    assert.equal(await store.get("no.such"), null);
  });

  test("put() keeps any JSON value and get() returns a private copy", async (store) => {
    const value = { text: "é\n\u0000", list: [1, null, { deep: true }] };
    const revision = await store.put("a.b", value);
    value.list.push(2);
    const entry = await store.get("a.b");
    assert.deepEqual(entry, { key: "a.b", value: { text: "é\n\u0000", list: [1, null, { deep: true }] }, revision });
    (entry!.value as { text: string }).text = "changed";
    assert.equal(((await store.get("a.b"))!.value as { text: string }).text, "é\n\u0000");
  });

  test("put() gives growing revisions, also after a deletion", async (store) => {
    const first = await store.put("a", 1);
    const second = await store.put("a", 2);
    await store.delete("a");
    const third = await store.put("a", 3, { expect: 0 });
    assert.ok(0 < first && first < second && second < third);
  });

  test("put() with a revision wins only when nobody wrote in between", async (store) => {
    const revision = await store.put("a", 1);
    await store.put("a", 2, { expect: revision });
    await assertConflict(store.put("a", 3, { expect: revision }));
    assert.equal((await store.get("a"))!.value, 2);
  });

  test("put() with expect 0 creates, and refuses an existing key", async (store) => {
    await store.put("a", 1, { expect: 0 });
    await assertConflict(store.put("a", 2, { expect: 0 }));
    await assertConflict(store.put("missing", 1, { expect: 7 }));
  });

  test("put() lets exactly one of 50 concurrent creators win", async (store) => {
    const results = await Promise.allSettled(
      Array.from({ length: 50 }, (_, index) => store.put("only.one", index, { expect: 0 })),
    );
    assert.equal(results.filter((result) => result.status === "fulfilled").length, 1);
    const winner = results.findIndex((result) => result.status === "fulfilled");
    assert.equal((await store.get("only.one"))!.value, winner);
  });

  test("delete() honours expect, and forgives what is not there", async (store) => {
    await store.delete("missing");
    const revision = await store.put("a", 1);
    await assertConflict(store.delete("a", { expect: revision + 1 }));
    assert.notEqual(await store.get("a"), null);
    await store.delete("a", { expect: revision });
    assert.equal(await store.get("a"), null);
    await assertConflict(store.delete("a", { expect: revision }));
  });

  test("list() returns whole-token matches by key, without what was deleted", async (store) => {
    for (const key of ["names.b.example", "names.a.example", "names", "namesake.x", "other.x"]) {
      await store.put(key, key);
    }
    await store.put("names.gone", 1);
    await store.delete("names.gone");
    assert.deepEqual((await store.list("names.")).map((entry) => entry.key), ["names.a.example", "names.b.example"]);
    assert.equal((await store.list("")).length, 5);
  });

  test("it refuses keys, prefixes and values that not every store could hold", async (store) => {
    for (const key of ["", ".a", "a.", "a..b", "a b", "a*", "a>b", "ü", "a".repeat(513)]) {
      await assert.rejects(store.put(key, 1), TypeError);
      await assert.rejects(store.get(key), TypeError);
    }
    await assert.rejects(store.list("names"), TypeError);
    await assert.rejects(store.watch("names", () => {}), TypeError);
    await assert.rejects(store.put("a", undefined), TypeError);
    await assert.rejects(store.put("a", "x".repeat(MAX_VALUE_LENGTH)), RangeError);
  });

  test("watch() reports what is there, then what changes", async (store) => {
    await store.put("w.old", 1);
    await store.put("v.other", 1);
    using watch = await collectChanges(store, "w.");
    assert.deepEqual(watch.changes.map((change) => [change.kind, change.key]), [["put", "w.old"]]);
    const revision = await store.put("w.new", { n: 2 });
    await store.put("v.other", 2);
    await store.delete("w.old");
    await watch.until((change) => change.kind === "delete" && change.key === "w.old");
    assert.deepEqual(watch.changes.map((change) => change.key), ["w.old", "w.new", "w.old"]);
    assert.deepEqual(watch.changes[1], { kind: "put", key: "w.new", value: { n: 2 }, revision });
    assert.ok(watch.changes[2]!.revision > revision);
  });

  test("watch() misses nothing that is written while it starts", async (store) => {
    const writes = Array.from({ length: 20 }, (_, index) => store.put(`w.k${index}`, index));
    using watch = await collectChanges(store, "w.");
    writes.push(...Array.from({ length: 20 }, (_, index) => store.put(`w.l${index}`, index)));
    await Promise.all(writes);
    await Promise.all(
      Array.from({ length: 20 }, (_, index) => watch.until((change) => change.key === `w.l${index}`)),
    );
    assert.equal(watch.changes.length, new Set(watch.changes.map((change) => change.revision)).size);
    assert.equal(new Set(watch.changes.map((change) => change.key)).size, 40);
  });

  test("a disposed watch is silent while others go on", async (store) => {
    const first = await collectChanges(store, "w.");
    using second = await collectChanges(store, "w.");
    first[Symbol.dispose]();
    await store.put("w.a", 1);
    await second.until((change) => change.key === "w.a");
    assert.deepEqual(first.changes, []);
  });

  test("a closed store refuses everything, and closing twice is fine", async (store) => {
    await store[Symbol.asyncDispose]();
    await store[Symbol.asyncDispose]();
    for (
      const work of [store.get("a"), store.put("a", 1), store.delete("a"), store.list(""), store.watch("", () => {})]
    ) {
      await assert.rejects(work, (error) => error instanceof CodedError && error.kind === "STATE_UNAVAILABLE");
    }
  });

  function test(title: string, body: (store: Store) => Promise<void>): void {
    Deno.test(`${name}: ${title}`, async () => {
      await using setup = await open();
      await body(setup.store);
    });
  }
}

async function assertConflict(work: Promise<unknown>): Promise<void> {
  await assert.rejects(work, (error) => error instanceof CodedError && error.kind === "STATE_CONFLICT");
}

function memory(): Promise<Setup> {
  const store = new MemoryStore();
  return Promise.resolve({ store, [Symbol.asyncDispose]: () => store[Symbol.asyncDispose]() });
}

async function sqlite(): Promise<Setup> {
  const folder = await Deno.makeTempDir();
  const store = await openSqliteStore(`${folder}/state.db`);
  return {
    store,
    async [Symbol.asyncDispose](): Promise<void> {
      await store[Symbol.asyncDispose]();
      await Deno.remove(folder, { recursive: true });
    },
  };
}
