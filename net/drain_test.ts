import assert from "node:assert/strict";
import { Drain } from "./drain.ts";

Deno.test("a drain tells all who are there, once, and those who come later by its state", () => {
  const drain = new Drain();
  const told: string[] = [];
  const member = (name: string) => ({ drain: () => void told.push(name) });
  const [stays, leaves] = [member("stays"), member("leaves")];
  drain.join(stays);
  drain.join(leaves);
  drain.leave(leaves);
  assert.equal(drain.begun, false);
  drain.begin();
  drain.begin();
  assert.deepEqual([told, drain.begun], [["stays"], true]);
});
