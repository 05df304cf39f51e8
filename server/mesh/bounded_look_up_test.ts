import assert from "node:assert/strict";
import { boundedLookUp } from "./bounded_look_up.ts";

const FOR_EVER = new AbortController().signal;

/** Questions that are answered when the test says so. */
function setUp(atOnce: number) {
  const asked: string[] = [];
  const open = new Map<string, PromiseWithResolvers<readonly string[]>>();
  const lookUp = boundedLookUp((name) => {
    asked.push(name);
    const question = Promise.withResolvers<readonly string[]>();
    open.set(name, question);
    return question.promise;
  }, atOnce);
  return { asked, lookUp, answer: (name: string) => open.get(name)?.resolve([`address of ${name}`]), open };
}

Deno.test("so many names are asked for at once and no more, though those who asked have gone; others follow in order", async () => {
  const { asked, lookUp, answer } = setUp(2);
  const gone = new AbortController();
  const left = ["a", "b"].map((name) => lookUp(name, gone.signal).catch((error) => error));
  gone.abort("gone");
  assert.deepEqual(await Promise.all(left), ["gone", "gone"]);
  const others = ["c", "d"].map((name) => lookUp(name, FOR_EVER));
  await Promise.resolve();
  assert.deepEqual(asked, ["a", "b"]);
  answer("b");
  while (asked.length < 3) await new Promise((resolve) => setTimeout(resolve));
  assert.deepEqual(asked, ["a", "b", "c"]);
  answer("a");
  answer("c");
  assert.deepEqual(await others[0], ["address of c"]);
  while (asked.length < 4) await new Promise((resolve) => setTimeout(resolve));
  answer("d");
  assert.deepEqual(await others[1], ["address of d"]);
});

Deno.test("one question answers all who ask for the same name meanwhile, and none that come later", async () => {
  const { asked, lookUp, answer } = setUp(1);
  const both = [lookUp("a", FOR_EVER), lookUp("a", FOR_EVER)];
  answer("a");
  assert.deepEqual(await Promise.all(both), [["address of a"], ["address of a"]]);
  const later = lookUp("a", FOR_EVER);
  answer("a");
  await later;
  assert.deepEqual(asked, ["a", "a"]);
});

Deno.test("a name that nobody waits for any more is not asked for when its turn comes, and a failure concerns its own name", async () => {
  const { asked, lookUp, answer, open } = setUp(1);
  const failing = lookUp("a", FOR_EVER);
  const gone = new AbortController();
  const left = lookUp("b", gone.signal).catch((error) => error);
  const last = lookUp("c", FOR_EVER);
  gone.abort("gone");
  assert.equal(await left, "gone");
  open.get("a")?.reject(new Error("no answer"));
  await assert.rejects(failing, /no answer/);
  while (asked.length < 2) await new Promise((resolve) => setTimeout(resolve));
  answer("c");
  assert.deepEqual([await last, asked], [["address of c"], ["a", "c"]]);
});
