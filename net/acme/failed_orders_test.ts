import assert from "node:assert/strict";
import { join } from "node:path";
import { type FailedOrder, FailedOrders, isFree } from "./failed_orders.ts";

const NOW = Date.UTC(2026, 0, 1);
const MINUTE_MS = 60_000;

function failed(failures: number, failedAt = NOW): FailedOrder {
  const retryAt = failedAt + 15 * MINUTE_MS + 0.5;
  return { failures, failedAt, retryAt, kind: "ACME_CHALLENGE_FAILED", message: "x".repeat(10_000), about: "a" };
}

async function withFolder(test: (folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir();
  await test(folder).finally(() => Deno.remove(folder, { recursive: true }));
}

/** As a process sees it that begins at `now`. */
async function reload(folder: string, now: number): Promise<FailedOrders> {
  const orders = new FailedOrders(folder);
  await orders.load(now);
  return orders;
}

Deno.test("failures are there after a restart, for the same means alone, until they are forgotten", () =>
  withFolder(async (folder) => {
    const orders = new FailedOrders(join(folder, "ca"));
    await orders.set("/x/a.example.com.pem", failed(3));
    const { retryAt, message } = (await reload(join(folder, "ca"), NOW)).get("/x/a.example.com.pem", "a")!;
    assert.equal(Math.abs(retryAt - NOW - 15 * MINUTE_MS) <= 1, true);
    assert.ok(message.length < 1_000);
    assert.equal(orders.get("/x/a.example.com.pem", "b"), undefined);
    assert.equal(orders.get("/x/b.example.com.pem", "a"), undefined);
    await orders.delete("/x/a.example.com.pem");
    assert.equal((await reload(join(folder, "ca"), NOW)).get("/x/a.example.com.pem", "a"), undefined);
  }));

Deno.test("after a clock that was ahead nothing waits for the time that it was", () =>
  withFolder(async (folder) => {
    await new FailedOrders(folder).set("a.pem", failed(3, NOW + 365 * 86_400_000));
    const { retryAt } = (await reload(folder, NOW)).get("a.pem", "a")!;
    assert.ok(Math.abs(retryAt - NOW - 15 * MINUTE_MS) <= 1);
  }));

Deno.test("only so many failures are kept, the latest", () =>
  withFolder(async (folder) => {
    const orders = new FailedOrders(folder);
    for (let index = 0; index < 501; index++) await orders.set(`${index}.pem`, failed(2));
    const after = await reload(folder, NOW);
    assert.deepEqual([0, 1, 500].map((index) => after.get(`${index}.pem`, "a") !== undefined), [false, true, true]);
  }));

Deno.test("what is no failure in the file is left out", () =>
  withFolder(async (folder) => {
    const text = JSON.stringify({ "a.pem": { ...failed(2), kind: "NONE" }, "b.pem": 1, "c.pem": failed(2) });
    await Deno.writeTextFile(join(folder, "failed.json"), text.replaceAll(".5,", ","), { mode: 0o600 });
    const orders = await reload(folder, NOW);
    assert.deepEqual(["a", "b", "c"].map((name) => orders.get(`${name}.pem`, "a") !== undefined), [false, false, true]);
  }));

Deno.test("a restart is enough after one failure, and never when the CA asks to wait", () => {
  assert.deepEqual([1, 2].map((failures) => isFree({ failures, kind: "ACME_CHALLENGE_FAILED" })), [true, false]);
  assert.equal(isFree({ failures: 1, kind: "ACME_RATE_LIMITED" }), false);
});
