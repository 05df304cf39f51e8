import assert from "node:assert/strict";
import { SILENT } from "../net/log.ts";
import { keepRunning } from "./keep_running.ts";

Deno.test("keepRunning() logs what nobody caught, and the process goes on", async () => {
  const logged = Promise.withResolvers<string>();
  using _running = keepRunning({
    ...SILENT,
    error: (event, fields) => logged.resolve(`${event} ${fields?.["reason"]}`),
  });
  void Promise.reject(new Error("nobody caught me"));
  assert.match(await logged.promise, /^fault .*nobody caught me/);
});
