import assert from "node:assert/strict";
import { generateHostLabel } from "./hostnames.ts";

Deno.test("generateHostLabel() gives adjective-noun-5 digits, rarely twice the same", () => {
  const labels = Array.from({ length: 2_000 }, generateHostLabel);
  for (const label of labels) assert.match(label, /^[a-z]{3,12}-[a-z]{3,12}-[1-9]\d{4}$/);
  assert.ok(new Set(labels).size >= 1_998);
});
