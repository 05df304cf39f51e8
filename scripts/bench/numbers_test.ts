import { equal, ok } from "node:assert/strict";
import { formatNumber, median, quantile, slope } from "./numbers.ts";

Deno.test("median() takes the middle, or the mean of the two in the middle", () => {
  equal(median([3, 1, 2]), 2);
  equal(median([4, 1, 2, 3]), 2.5);
  equal(median([7]), 7);
  ok(Number.isNaN(median([])));
});

Deno.test("quantile() interpolates between the values", () => {
  equal(quantile([0, 10], 0.99), 9.9);
  equal(quantile([5, 1, 3], 0), 1);
  equal(quantile([5, 1, 3], 1), 5);
});

Deno.test("slope() is that of the closest line", () => {
  equal(slope([[0, 5], [1, 7], [2, 9]]), 2);
  equal(slope([[0, 0], [1, 2], [2, 1], [3, 3]]), 0.8);
  ok(Number.isNaN(slope([[1, 1]])));
});

Deno.test("formatNumber() shows the digits that matter", () => {
  equal(formatNumber(28_123.4), "28,123");
  equal(formatNumber(6.612), "6.61");
  equal(formatNumber(0.1234), "0.123");
  equal(formatNumber(NaN), "-");
});
