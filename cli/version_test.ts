import { equal } from "node:assert/strict";
import { VERSION } from "../protocol/version.ts";

Deno.test("VERSION is that of deno.json", async () => {
  const { version } = JSON.parse(await Deno.readTextFile(new URL("../deno.json", import.meta.url)));
  equal(VERSION, version);
});
