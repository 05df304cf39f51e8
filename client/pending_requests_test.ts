import assert from "node:assert/strict";
import { CodedError } from "../protocol/errors.ts";
import { MAX_OPEN_REQUESTS } from "../protocol/limits.ts";
import type { ControlMessage } from "../protocol/message.ts";
import { PendingRequests } from "./pending_requests.ts";

function setUp(): {
  pending: PendingRequests;
  sent: ControlMessage[];
  send: (message: ControlMessage) => Promise<void>;
} {
  const sent: ControlMessage[] = [];
  return {
    pending: new PendingRequests(),
    sent,
    send: (message) => {
      sent.push(message);
      return Promise.resolve();
    },
  };
}

Deno.test("ask() gives each asker the answer with its id, in whatever order they come", async () => {
  const { pending, sent, send } = setUp();
  const first = pending.ask("port.allocate", { port: 22_001 }, send);
  const second = pending.ask("port.allocate", { port: 22_002 }, send);
  const ids = sent.map((message) => message.kind === "request" ? message.id : -1);
  pending.answer({ kind: "response", id: ids[1]!, result: { port: 22_002 } });
  pending.answer({ kind: "response", id: 999, result: { port: 1 } });
  pending.answer({ kind: "response", id: ids[0]!, result: { port: 22_001 } });
  pending.answer({ kind: "response", id: ids[0]!, result: { port: 1 } });
  assert.deepEqual(await Promise.all([first, second]), [{ port: 22_001 }, { port: 22_002 }]);
});

Deno.test("ask() throws the server's refusal with its code", async () => {
  const { pending, sent, send } = setUp();
  const asked = pending.ask("name.check", { domain: "a.example" }, send);
  assert.equal(sent.length, 1);
  pending.answer({ kind: "response", id: 1, error: { code: "E4001", message: "taken" } });
  await assert.rejects(asked, (error) => error instanceof CodedError && error.kind === "NAME_TAKEN");
});

Deno.test("ask() refuses a result of the wrong shape", async () => {
  const { pending, send } = setUp();
  const asked = pending.ask("port.allocate", {}, send);
  pending.answer({ kind: "response", id: 1, result: { port: "many" } });
  await assert.rejects(asked);
});

Deno.test("ask() fails with the connection it was sent on, and waits no more", async () => {
  const { pending } = setUp();
  const asked = pending.ask("port.list", {}, () => Promise.reject(new CodedError("STREAM_RESET")));
  await assert.rejects(asked, (error) => error instanceof CodedError && error.kind === "STREAM_RESET");
});

Deno.test("fail() ends every wait with its reason", async () => {
  const { pending, send } = setUp();
  const asked = [1, 2, 3].map(() => pending.ask("port.list", {}, send));
  pending.fail(new CodedError("SESSION_CLOSED"));
  for (const each of await Promise.allSettled(asked)) {
    assert.equal(each.status === "rejected" && each.reason.kind, "SESSION_CLOSED");
  }
});

Deno.test("ask() refuses more than the server would take", async () => {
  const { pending, sent, send } = setUp();
  const asked = Array.from({ length: MAX_OPEN_REQUESTS }, () => pending.ask("port.list", {}, send));
  await assert.rejects(
    pending.ask("port.list", {}, send),
    (error) => error instanceof CodedError && error.kind === "LIMIT_EXCEEDED",
  );
  assert.equal(sent.length, MAX_OPEN_REQUESTS);
  for (let id = 1; id <= MAX_OPEN_REQUESTS; id++) pending.answer({ kind: "response", id, result: { ports: [] } });
  await Promise.all(asked);
});
