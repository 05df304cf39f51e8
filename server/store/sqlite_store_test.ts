import assert from "node:assert/strict";
import { DatabaseSync } from "node:sqlite";
import { CodedError } from "../../protocol/errors.ts";
import { openSqliteStore } from "./sqlite_store.ts";
import { prepareStateFolder } from "./state_folder.ts";
import { collectChanges } from "./testing/collect_changes.ts";

const ON_WINDOWS = Deno.build.os === "windows";

Deno.test("openSqliteStore() keeps values over a restart, in files only their owner can open", async () => {
  await using folder = await tempFolder();
  {
    await using store = await openSqliteStore(folder.db);
    await store.put("a", 1);
    if (!ON_WINDOWS) {
      for await (const file of Deno.readDir(folder.path)) {
        assert.equal((await Deno.stat(`${folder.path}/${file.name}`)).mode! & 0o777, 0o600, file.name);
      }
    }
  }
  await using store = await openSqliteStore(folder.db);
  const entry = await store.get("a");
  assert.equal(entry!.value, 1);
  assert.ok(await store.put("a", 2) > entry!.revision);
});

Deno.test("dispose finishes the writes that were accepted", async () => {
  await using folder = await tempFolder();
  const store = await openSqliteStore(folder.db);
  const writes = Array.from({ length: 600 }, (_, index) => store.put(`a.${index}`, index));
  // Let the writes reach the queue: what is asked for after the disposal is refused.
  await Promise.resolve();
  await store[Symbol.asyncDispose]();
  await Promise.all(writes);
  await using again = await openSqliteStore(folder.db);
  assert.equal((await again.list("a.")).length, 600);
});

Deno.test("two stores on one file see each other's changes and deletions", async () => {
  await using folder = await tempFolder();
  await using mine = await openSqliteStore(folder.db);
  await using other = await openSqliteStore(folder.db);
  await mine.put("t.kept", 1);
  await mine.put("t.removed", 1);
  using watch = await collectChanges(mine, "t.");
  await other.put("t.new", 2);
  await other.delete("t.removed");
  await watch.until((change) => change.kind === "delete" && change.key === "t.removed");
  assert.deepEqual(watch.changes.slice(2).map((change) => [change.kind, change.key]), [
    ["put", "t.new"],
    ["delete", "t.removed"],
  ]);
  await mine.put("t.kept", 2);
  await watch.until((change) => change.kind === "put" && change.value === 2 && change.key === "t.kept");
});

Deno.test("two stores on one file decide a race once", async () => {
  await using folder = await tempFolder();
  await using mine = await openSqliteStore(folder.db);
  await using other = await openSqliteStore(folder.db);
  const results = await Promise.allSettled(
    Array.from({ length: 50 }, (_, index) => (index % 2 === 0 ? mine : other).put("race", index, { expect: 0 })),
  );
  assert.equal(results.filter((result) => result.status === "fulfilled").length, 1);
});

Deno.test("several processes may create the same file at once", async () => {
  await using folder = await tempFolder();
  const stores = await Promise.all(Array.from({ length: 4 }, () => openSqliteStore(folder.db)));
  await Promise.all(stores.map((store, index) => store.put(`s.${index}`, index)));
  assert.equal((await stores[0]!.list("s.")).length, 4);
  for (const store of stores) await store[Symbol.asyncDispose]();
});

Deno.test("a process that is killed loses nothing that it acknowledged", async () => {
  await using folder = await tempFolder();
  const acknowledged = new Set<number>();
  for (let round = 0; round < 2; round++) {
    const db = `${folder.path}/round${round}.db`;
    acknowledged.clear();
    const script = new URL("./testing/acknowledge_writes.ts", import.meta.url).href;
    await using child = new Deno.Command(Deno.execPath(), {
      args: ["run", "-A", "--quiet", script, db],
      stdin: "null",
      stdout: "piped",
      stderr: "inherit",
    }).spawn();
    let rest = "";
    for await (const chunk of child.stdout.pipeThrough(new TextDecoderStream())) {
      const lines = (rest + chunk).split("\n");
      rest = lines.pop()!;
      for (const line of lines) acknowledged.add(Number(line));
      if (acknowledged.size >= 200) child.kill("SIGKILL");
    }
    await child.status;
    await using store = await openSqliteStore(db);
    const found = new Set((await store.list("acked.")).map((entry) => (entry.value as { number: number }).number));
    assert.ok(acknowledged.size >= 200);
    assert.deepEqual([...acknowledged].filter((number) => !found.has(number)), []);
  }
});

Deno.test("openSqliteStore() refuses what it cannot use, with the path", async () => {
  await using folder = await tempFolder();
  await Deno.writeTextFile(folder.db, "this is no database ".repeat(500), { mode: 0o600 });
  await assertUnavailable(openSqliteStore(folder.db), folder.db);

  const foreign = `${folder.path}/foreign.db`;
  await Deno.writeTextFile(foreign, "", { mode: 0o600 });
  const database = new DatabaseSync(foreign);
  database.exec("CREATE TABLE theirs (a)");
  database.close();
  await assertUnavailable(openSqliteStore(foreign), foreign);

  await Deno.mkdir(`${folder.path}/folder.db`);
  await assertUnavailable(openSqliteStore(`${folder.path}/folder.db`), "folder.db");
  await assertUnavailable(openSqliteStore(`${folder.path}/missing/state.db`), "missing/state.db");
});

Deno.test("openSqliteStore() refuses a damaged database", async () => {
  await using folder = await tempFolder();
  {
    await using store = await openSqliteStore(folder.db);
    await Promise.all(Array.from({ length: 500 }, (_, index) => store.put(`a.${index}`, "x".repeat(200))));
  }
  using file = await Deno.open(folder.db, { write: true });
  await file.seek(8_192, Deno.SeekMode.Start);
  await file.write(new Uint8Array(16_384).fill(0x5a));
  await assertUnavailable(openSqliteStore(folder.db), folder.db);
});

Deno.test({
  name: "state files and folders that others could change are refused",
  ignore: ON_WINDOWS,
  async fn() {
    await using folder = await tempFolder();
    const state = `${folder.path}/deep/state`;
    await prepareStateFolder(state);
    assert.equal((await Deno.stat(state)).mode! & 0o777, 0o700);
    await Deno.chmod(state, 0o770);
    await assertUnavailable(prepareStateFolder(state), state);
    await Deno.writeTextFile(folder.db, "");
    await Deno.chmod(folder.db, 0o640);
    await assertUnavailable(openSqliteStore(folder.db), folder.db);
    await Deno.remove(folder.db);
    await Deno.writeTextFile(`${folder.path}/target`, "", { mode: 0o600 });
    await Deno.symlink(`${folder.path}/target`, folder.db);
    await assertUnavailable(openSqliteStore(folder.db), folder.db);
  },
});

async function assertUnavailable(work: Promise<unknown>, path: string): Promise<void> {
  await assert.rejects(
    work,
    (error) => error instanceof CodedError && error.kind === "STATE_UNAVAILABLE" && error.message.includes(path),
  );
}

async function tempFolder(): Promise<AsyncDisposable & { readonly path: string; readonly db: string }> {
  const path = await Deno.makeTempDir();
  return {
    path,
    db: `${path}/state.db`,
    [Symbol.asyncDispose]: () => Deno.remove(path, { recursive: true }),
  };
}
