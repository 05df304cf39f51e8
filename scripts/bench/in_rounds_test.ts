import { deepEqual, equal } from "node:assert/strict";
import { inRounds, medianRatio } from "./in_rounds.ts";

Deno.test("inRounds() takes turns, and gives the values of each way in the order of the rounds", async () => {
  const turns: string[] = [];
  const way = (name: string) => () => Promise.resolve(turns.push(name));
  const measured = await inRounds({ rounds: 2, note: () => {} }, "test", { a: way("a"), b: way("b") });
  deepEqual(turns, ["a", "b", "a", "b"]);
  deepEqual(measured, { a: [1, 3], b: [2, 4] });
});

Deno.test("medianRatio() compares within each round", () => {
  equal(medianRatio([5, 50, 500], [10, 100, 1_000]), 0.5);
  equal(medianRatio([1, 4, 9], [1, 2, 3]), 2);
});
