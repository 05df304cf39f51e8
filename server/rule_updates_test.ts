import assert from "node:assert/strict";
import type { CodedError } from "../protocol/errors.ts";
import type { ControlMessage } from "../protocol/message.ts";
import type { Rule } from "../protocol/rule.ts";
import { RuleUpdates } from "./rule_updates.ts";
import type { Session } from "./session.ts";

/** A session that notes what is applied, told and how it ended; each step waits to be let go. */
function fakeSession() {
  const applied: (readonly Rule[])[] = [];
  const told: ControlMessage[] = [];
  const ended: CodedError[] = [];
  let gate = Promise.withResolvers<void>();
  const session = {
    publisher: {
      async apply(rules: readonly Rule[]) {
        applied.push(rules);
        await gate.promise;
        return [];
      },
    },
    send: (message: ControlMessage) => {
      told.push(message);
      return Promise.resolve();
    },
    end: (error: CodedError) => {
      ended.push(error);
      return Promise.resolve();
    },
  };
  return {
    updates: new RuleUpdates(session as unknown as Session),
    ...{ applied, told, ended },
    fail: (error: unknown) => gate.reject(error),
    async go(): Promise<void> {
      const { resolve } = gate;
      gate = Promise.withResolvers();
      resolve();
      await new Promise((settled) => setTimeout(settled));
    },
  };
}

function rules(port: number): Rule[] {
  return [{ kind: "tcp", transport: "tcp", port, target: "", firewall: [] }];
}

Deno.test("of the states that come while one is applied only the last is", async () => {
  const { updates, applied, told, go } = fakeSession();
  for (let revision = 1; revision <= 1_000; revision++) updates.push(revision, rules(revision));
  assert.deepEqual(applied, [rules(1)]);
  await go();
  assert.deepEqual(applied, [rules(1), rules(1_000)]);
  await go();
  const revisions = told.map((message) => message.kind === "rules.applied" && message.revision);
  assert.deepEqual(revisions, [1, 1_000]);
});

Deno.test("a state that comes when all is done is applied at once", async () => {
  const { updates, applied, go } = fakeSession();
  updates.push(1, rules(1));
  await go();
  updates.push(2, rules(2));
  assert.deepEqual(applied, [rules(1), rules(2)]);
  await go();
});

Deno.test("a state that cannot be applied ends the session", async () => {
  const { updates, ended, fail } = fakeSession();
  updates.push(1, rules(1));
  fail(new Error("the store is gone"));
  await new Promise((settled) => setTimeout(settled));
  assert.deepEqual(ended.map(({ kind }) => kind), ["INTERNAL"]);
});
