import { equal, throws } from "node:assert/strict";
import { parseSize } from "./parse_size.ts";

const SIZES: [text: string, bytes: number][] = [
  ["0", 0],
  ["1048576", 1_048_576],
  ["10MB", 10_000_000],
  ["10mb", 10_000_000],
  ["512 KiB", 524_288],
  ["1.5GB", 1_500_000_000],
  ["1 B", 1],
];

for (const [text, bytes] of SIZES) {
  Deno.test(`parseSize() reads ${text}`, () => equal(parseSize(text), bytes));
}

for (const text of ["", "MB", "10 apples", "-1", "1e3", "10M", "1,5MB", "9999999TB", "0x10"]) {
  Deno.test(`parseSize() refuses "${text}"`, () => throws(() => parseSize(text), RangeError));
}
