import assert from "node:assert/strict";
import { AcmeError, forNames } from "./acme_error.ts";
import { failedChallenge, refusedRequest } from "./acme_problem.ts";

const URN = "urn:ietf:params:acme:error:";

for (
  const [status, type, kind, says] of [
    [429, "rateLimited", "ACME_RATE_LIMITED", "asks to wait"],
    [403, "rateLimited", "ACME_RATE_LIMITED", "asks to wait"],
    [500, "serverInternal", "ACME_UNREACHABLE", "is out of order"],
    [503, "", "ACME_UNREACHABLE", "is out of order"],
    [400, "rejectedIdentifier", "ACME_REFUSED", "refuses"],
    [403, "", "ACME_REFUSED", "refuses"],
  ] as const
) {
  Deno.test(`a status ${status} with ${type || "no type"} is ${kind}`, () => {
    const data = type === "" ? "<html>" : { type: URN + type, detail: "Because." };
    const error = refusedRequest("ca.example", { status, data, retryAfterMs: 5 });
    assert.deepEqual([error.kind, error.problem, error.retryAfterMs], [kind, type, 5]);
    const reason = type === "" ? `status ${status}` : `Because (${type})`;
    assert.ok(error.message.startsWith(`the CA ca.example ${says}: ${reason}`), error.message);
  });
}

Deno.test("what a CA says is one line of bounded length, whatever it sends", () => {
  const detail = `no\r\n\x1b[31mway ${"x".repeat(10_000)}`;
  const error = refusedRequest("ca.example", { status: 400, data: { type: `${URN}malformed`, detail } });
  assert.match(error.message, /^the CA ca\.example refuses: no \[31mway x+ \(malformed\)$/);
  assert.ok(error.message.length < 700);
  for (const data of [null, undefined, 1, [], { type: 1, detail: {} }, { subproblems: [null, 1] }]) {
    assert.match(refusedRequest("ca.example", { status: 400, data }).message, /refuses: status 400$/);
  }
});

Deno.test("the type that a CA sends cannot break the line either", () => {
  const error = refusedRequest("ca.example", {
    status: 400,
    data: { type: "a\n\x1b[1mb".padEnd(9_000, "x"), detail: "No" },
  });
  assert.match(error.message, /^[\x20-\x7e]+$/);
  assert.ok(error.message.length < 700);
});

Deno.test("the parts of a compound problem are said too", () => {
  const subproblems = [{ type: `${URN}caa`, detail: "CAA of b.example.com forbids", identifier: {} }];
  const data = { type: `${URN}malformed`, detail: "Several problems", subproblems };
  assert.match(refusedRequest("ca.example", { status: 403, data }).message, /Several problems; CAA of b\.example\.com/);
});

Deno.test("a failed challenge says which one, of which name, why, and what to do", () => {
  const error = failedChallenge("a.example.com", "http-01", { type: `${URN}connection`, detail: "Timeout." });
  assert.equal(error.kind, "ACME_CHALLENGE_FAILED");
  assert.match(error.message, /^http-01 of a\.example\.com failed: Timeout \(connection\); let the CA reach port 80/);
  assert.match(failedChallenge("a.example.com", "http-01", undefined).message, /the CA gives no reason$/);
});

Deno.test("forNames() keeps the code and the wait, and says the names", () => {
  const error = new AcmeError("ACME_RATE_LIMITED", "the CA asks to wait", { retryAfterMs: 9, problem: "rateLimited" });
  const told = forNames(["a.example.com", "b.example.com"], error);
  assert.deepEqual([told.kind, told.retryAfterMs, told.problem, told.cause], [
    "ACME_RATE_LIMITED",
    9,
    "rateLimited",
    error,
  ]);
  assert.equal(told.message, "Cannot get a certificate for a.example.com, b.example.com: the CA asks to wait");
  assert.equal(forNames(["a.example.com"], new Error("odd")).kind, "ACME_REFUSED");
});
