import assert from "node:assert/strict";
import { Penalties } from "../../penalties.ts";
import { PasswordChecks } from "./password_checks.ts";

/** Checks that end when they are told to. */
class Setup {
  readonly checks: PasswordChecks;
  readonly begun: PromiseWithResolvers<boolean>[] = [];

  constructor() {
    this.checks = new PasswordChecks(new Penalties({ now: () => 1_000_000 }));
  }

  run(address: string): Promise<boolean> {
    return this.checks.run(address, () => {
      const check = Promise.withResolvers<boolean>();
      this.begun.push(check);
      return check.promise;
    });
  }

  /** Ends all checks, also those that begin then. */
  async end(right: boolean, running: readonly Promise<unknown>[]): Promise<void> {
    let settled = false;
    void Promise.allSettled(running).then(() => settled = true);
    while (!settled) {
      for (const check of this.begun) check.resolve(right);
      await new Promise((resolve) => setTimeout(resolve, 0));
    }
  }
}

Deno.test("two checks run at once, 64 wait in order, and more are turned away", async () => {
  const setup = new Setup();
  const running = Array.from({ length: 66 }, (_, at) => setup.run(`10.0.${at}.1`));
  assert.equal(setup.begun.length, 0, "nothing runs in the caller's turn");
  await Promise.resolve();
  await Promise.resolve();
  assert.equal(setup.begun.length, 2);
  await assert.rejects(setup.run("10.1.0.1"), { kind: "PASSWORDS_BUSY" });
  await setup.end(true, running);
  assert.equal(setup.begun.length, 66);
  assert.deepEqual(new Set(await Promise.all(running)), new Set([true]));
});

Deno.test("one address has at most four checks under way, an IPv6 /64 is one", async () => {
  const setup = new Setup();
  const running = Array.from({ length: 4 }, (_, at) => setup.run(`2001:db8::${at}`));
  await assert.rejects(setup.run("2001:db8::ffff"), { kind: "TOO_MANY_ATTEMPTS" });
  const other = setup.run("2001:db8:0:1::1");
  await setup.end(true, [...running, other]);
  const again = setup.run("2001:db8::ffff");
  await setup.end(true, [again]);
  assert.ok(await again);
});

Deno.test("an address that was wrong too often is not checked any more, also while it waits", async () => {
  const setup = new Setup();
  for (let count = 0; count < 2; count++) {
    const wrong = setup.run("192.0.2.1");
    await setup.end(false, [wrong]);
    assert.equal(await wrong, false);
  }
  const running = Array.from({ length: 4 }, () => setup.run("192.0.2.1"));
  await setup.end(false, running);
  const kinds = (await Promise.allSettled(running)).map((each) =>
    each.status === "rejected" ? each.reason.kind : each.value
  );
  assert.deepEqual(kinds, [false, false, "TOO_MANY_ATTEMPTS", "TOO_MANY_ATTEMPTS"]);
  assert.equal(setup.begun.length, 4);
  await assert.rejects(setup.run("192.0.2.1"), { kind: "TOO_MANY_ATTEMPTS" });
  const other = setup.run("192.0.2.2");
  await setup.end(true, [other]);
  assert.ok(await other);
});

Deno.test("a check that fails gives its place to the next", async () => {
  const setup = new Setup();
  const failing = [1, 2].map((at) => setup.checks.run(`10.0.0.${at}`, () => Promise.reject(new Error("no memory"))));
  const third = setup.run("10.0.0.3");
  await Promise.allSettled(failing);
  await setup.end(true, [third]);
  assert.ok(await third);
});
