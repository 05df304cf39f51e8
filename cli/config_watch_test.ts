import { deepEqual, equal, match } from "node:assert/strict";
import { z } from "zod";
import { loadConfig } from "./config_file.ts";
import { type ConfigEvent, watchConfig } from "./config_watch.ts";
import { privateFile } from "./testing/private_file.ts";

const schema = z.strictObject({ version: z.int() });
type Value = z.infer<typeof schema>;

async function watched(text: string) {
  const file = await privateFile("watched.yaml", text);
  const stop = new AbortController();
  const { stamp } = await loadConfig(file.path, schema);
  const events = watchConfig(file.path, { schema, stamp, signal: stop.signal, pollMs: 5 });
  return {
    path: file.path,
    async next(): Promise<ConfigEvent<Value> | undefined> {
      return (await events.next()).value ?? undefined;
    },
    async [Symbol.asyncDispose]() {
      stop.abort();
      await events.return(undefined);
      await file[Symbol.asyncDispose]();
    },
  };
}

Deno.test("watchConfig() reports an edit in place", async () => {
  await using file = await watched("version: 1\n");
  await Deno.writeTextFile(file.path, "version: 22\n");
  deepEqual(await file.next(), { kind: "changed", value: { version: 22 } });
});

Deno.test("watchConfig() reports an edit by rename", async () => {
  await using file = await watched("version: 1\n");
  await Deno.writeTextFile(`${file.path}.new`, "version: 2\n", { mode: 0o600 });
  await Deno.rename(`${file.path}.new`, file.path);
  deepEqual(await file.next(), { kind: "changed", value: { version: 2 } });
});

Deno.test("watchConfig() reports an edit that was made before it began", async () => {
  const file = await privateFile("watched.yaml", "version: 1\n");
  await using _ = file;
  const stop = new AbortController();
  const events = watchConfig(file.path, { schema, stamp: "an older one", signal: stop.signal, pollMs: 5 });
  deepEqual((await events.next()).value, { kind: "changed", value: { version: 1 } });
  stop.abort();
  equal((await events.next()).done, true);
});

Deno.test("watchConfig() reports a bad edit with its place, then the repair", async () => {
  await using file = await watched("version: 1\n");
  await Deno.writeTextFile(file.path, "version: 1\nverzion: 2\n");
  const event = await file.next();
  equal(event?.kind, "fault");
  match(event?.kind === "fault" ? event.error.message : "", /watched\.yaml:2:1: verzion: there is no such key$/);
  await Deno.writeTextFile(file.path, "version: 3\n");
  deepEqual(await file.next(), { kind: "changed", value: { version: 3 } });
});

Deno.test("watchConfig() reports a file that has gone, then its return", async () => {
  await using file = await watched("version: 1\n");
  await Deno.remove(file.path);
  const event = await file.next();
  equal(event?.kind === "fault" && event.error.kind, "CONFIG_MISSING");
  await Deno.writeTextFile(file.path, "version: 4\n", { mode: 0o600 });
  deepEqual(await file.next(), { kind: "changed", value: { version: 4 } });
});
