import { takeSkipped } from "../net/testing/programs.ts";

// The last file of the run, by its name: what could not be tested is to be seen at the end.
Deno.test("the tests that were skipped for want of a program are named", async () => {
  const skipped = await takeSkipped();
  if (skipped.length > 0) console.log(`Skipped ${skipped.length}:\n${skipped.map((line) => `  ${line}`).join("\n")}`);
});
