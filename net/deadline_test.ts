import assert from "node:assert/strict";
import { Deadline } from "./deadline.ts";

Deno.test("Deadline expires once, in the way that was set last", async () => {
  const events: string[] = [];
  const deadline = new Deadline(3_600_000, () => events.push("first"));
  deadline.replace(1, () => events.push("second"));
  await new Promise<void>((resolve) => new Deadline(1, resolve));
  // One that has expired stays so.
  deadline.replace(0);
  await new Promise<void>((resolve) => new Deadline(1, resolve));
  assert.deepEqual(events, ["second"]);
});

Deno.test("the consequence of a Deadline may set the next one", async () => {
  const events: string[] = [];
  const second = Promise.withResolvers<void>();
  const deadline = new Deadline(3_600_000, () => {});
  deadline.replace(1, () => {
    events.push("first");
    deadline.replace(1, () => second.resolve());
  });
  await second.promise;
  assert.deepEqual(events, ["first"]);
});

Deno.test("Deadline that was replaced in time does not expire, and one that is disposed leaves no timer", async () => {
  let expired = false;
  const deadline = new Deadline(1, () => expired = true);
  deadline.replace(3_600_000);
  await new Promise<void>((resolve) => new Deadline(1, resolve));
  assert.equal(expired, false);
  deadline[Symbol.dispose]();
  deadline[Symbol.dispose]();
});
