import { deepEqual, equal, match } from "node:assert/strict";
import { CodedError } from "../../protocol/errors.ts";
import type { MeshOptions } from "../../server/mesh/access.ts";
import type { Log } from "../log.ts";
import { privateFile } from "../testing/private_file.ts";
import { serverConfigSchema } from "./config.ts";
import { loadConfig } from "../config_file.ts";
import { watchMesh } from "./watch_mesh.ts";

/** What happens, one after the other. */
class Events {
  readonly #waiting: ((event: string) => void)[] = [];
  readonly #kept: string[] = [];

  push(event: string): void {
    const next = this.#waiting.shift();
    if (next === undefined) this.#kept.push(event);
    else next(event);
  }

  next(): Promise<string> {
    const kept = this.#kept.shift();
    return kept === undefined ? new Promise((resolve) => this.#waiting.push(resolve)) : Promise.resolve(kept);
  }
}

Deno.test("edits of mesh reach the running server; a fault and other edits are reported, and change nothing", async () => {
  await using file = await privateFile("spokes.yaml", "domain: example.com\n");
  const { value: config, stamp } = await loadConfig(file.path, serverConfigSchema);
  const ending = new AbortController();
  const events = new Events();
  const updates: (MeshOptions | false)[] = [];
  const note = (level: string) => (event: string, fields: Record<string, unknown> = {}): void => {
    events.push(`${level} ${event} ${fields.reason ?? fields.hint ?? fields.mesh ?? ""}`);
  };
  const log = { info: note("info"), warn: note("warn"), error: note("error"), debug() {} } as unknown as Log;
  const watched = watchMesh({ path: file.path, folder: file.folder, config, stamp }, {
    ...{ log, signal: ending.signal, pollMs: 5 },
    server: {
      updateMesh(options) {
        if (options !== false && options.allow?.includes("refused.example")) {
          throw new CodedError("CONFIG_INVALID", "no");
        }
        updates.push(options);
      },
    },
  });
  async function edit(text: string): Promise<void> {
    await Deno.writeTextFile(file.path, `domain: example.com\n${text}`);
  }
  await edit("mesh: {allow: [db.srv.local]}\n");
  equal(await events.next(), "info mesh updated on");
  await edit("mesh: {allow: [db.srv.local, '127.1']}\n");
  match(
    await events.next(),
    /^error configuration not applied .*spokes\.yaml:2:30: mesh\.allow\.1: "127\.1" cannot be/,
  );
  await edit("mesh: {allow: [db.srv.local]}\ndrain: 1m\n");
  match(await events.next(), /^warn the configuration was edited only mesh is live/);
  await edit("mesh: {allow: [refused.example]}\ndrain: 1m\n");
  equal(await events.next(), "error configuration not applied no");
  await edit("mesh: off\ndrain: 1m\n");
  equal(await events.next(), "info mesh updated off");
  await edit("drain: 1m\n");
  equal(await events.next(), "info mesh updated on");
  await edit("mesh: {socks: {listen: ':1080'}}\ndrain: 1m\n");
  match(await events.next(), /^warn the configuration was edited .* without the ports of its proxies/);
  equal(await events.next(), "info mesh updated on");
  await edit("mesh: {socks: {listen: ':1081'}}\ndrain: 1m\n");
  match(await events.next(), /^warn the configuration was edited .* without the ports of its proxies/);
  await edit("mesh: {socks: {listen: ':1081'}, connect: on}\ndrain: 1m\n");
  equal(await events.next(), "info mesh updated on");
  ending.abort();
  await watched;
  deepEqual(updates.slice(0, 3), [{ allow: ["db.srv.local"], policy: [], resolvers: [] }, false, {}]);
  deepEqual(updates.slice(3).map((mesh) => mesh && mesh.connect), [undefined, true]);
});
