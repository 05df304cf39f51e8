import assert from "node:assert/strict";
import { openFirst } from "./open_first.ts";

/** Candidates that are opened, or fail, when a test says so. */
class Candidates {
  readonly opening = new Map<string, { answer: PromiseWithResolvers<string>; attempt: AbortController }>();
  readonly discarded: string[] = [];
  readonly #begun = new Map<string, PromiseWithResolvers<void>>();

  open(names: readonly string[], signal: AbortSignal = new AbortController().signal): Promise<string> {
    return openFirst(names, {
      open: (name, attempt) => {
        const answer = Promise.withResolvers<string>();
        this.opening.set(name, { answer, attempt });
        this.#turn(name).resolve();
        return answer.promise;
      },
      discard: (opened) => this.discarded.push(opened),
      mayTryNext: (error) => error instanceof RangeError,
      patienceMs: 1,
      signal,
    });
  }

  /** Settles when it is being tried. */
  async tried(name: string): Promise<PromiseWithResolvers<string>> {
    await this.#turn(name).promise;
    return this.opening.get(name)!.answer;
  }

  isAborted(name: string): boolean {
    return this.opening.get(name)!.attempt.signal.aborted;
  }

  #turn(name: string): PromiseWithResolvers<void> {
    const known = this.#begun.get(name) ?? Promise.withResolvers();
    this.#begun.set(name, known);
    return known;
  }
}

Deno.test("the next one is tried when one fails in a way that is its own, and no other after a failure that is everybody's", async () => {
  const some = new Candidates();
  const opened = some.open(["a", "b"]);
  (await some.tried("a")).reject(new RangeError("away"));
  (await some.tried("b")).resolve("b");
  assert.equal(await opened, "b");
  const others = new Candidates();
  const refused = others.open(["a", "b"]);
  (await others.tried("a")).reject(new TypeError("denied"));
  await assert.rejects(refused, TypeError);
  assert.equal(others.opening.has("b"), false);
});

Deno.test("one that is silent has the next tried beside it; the first that opens is the one, and the other is let go", async () => {
  for (const winner of ["a", "b"]) {
    const some = new Candidates();
    const opened = some.open(["a", "b"]);
    await some.tried("b");
    const loser = winner === "a" ? "b" : "a";
    (await some.tried(winner)).resolve(winner);
    assert.equal(await opened, winner);
    assert.deepEqual([some.isAborted(winner), some.isAborted(loser)], [false, true]);
    (await some.tried(loser)).resolve(loser);
    await new Promise((resolve) => setTimeout(resolve));
    assert.deepEqual(some.discarded, [loser]);
  }
});

Deno.test("whatever is the matter with one, another that is being tried may still open", async () => {
  const some = new Candidates();
  const opened = some.open(["a", "b"]);
  await some.tried("b");
  (await some.tried("a")).reject(new TypeError("denied"));
  await new Promise((resolve) => setTimeout(resolve));
  assert.equal(some.isAborted("b"), false);
  (await some.tried("b")).resolve("b");
  assert.equal(await opened, "b");
});

Deno.test("the failure of the last one is told, and the reason of the signal ends all attempts", async () => {
  const some = new Candidates();
  const failed = some.open(["a", "b"]);
  (await some.tried("a")).reject(new RangeError("away"));
  (await some.tried("b")).reject(new RangeError("away too"));
  await assert.rejects(failed, { message: "away too" });
  const stop = new AbortController();
  const others = new Candidates();
  const stopped = others.open(["a", "b"], stop.signal);
  await others.tried("b");
  stop.abort(new TypeError("enough"));
  await assert.rejects(stopped, { message: "enough" });
  assert.deepEqual([others.isAborted("a"), others.isAborted("b")], [true, true]);
  for (const { answer } of others.opening.values()) answer.resolve("too late");
});
