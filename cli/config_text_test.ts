import { deepEqual, throws } from "node:assert/strict";
import { z } from "zod";
import { parseConfig } from "./config_text.ts";

const schema = z.strictObject({
  version: z.literal(1),
  server: z.strictObject({ address: z.string() }),
  ports: z.array(z.strictObject({ port: z.int().min(1).max(65_535) })).default([]),
});

function parse(text: string, path = "f.yaml") {
  return parseConfig({ path, text }, schema).value;
}

const GOOD = { version: 1, server: { address: "a:443" }, ports: [{ port: 22 }] };

Deno.test("parseConfig() reads YAML", () => {
  deepEqual(parse("# mine\nversion: 1\nserver: {address: a:443}\nports:\n  - port: 22\n"), GOOD);
});

Deno.test("parseConfig() reads JSON", () => {
  deepEqual(parse(JSON.stringify(GOOD, null, 2), "f.json"), GOOD);
});

const CASES: [name: string, path: string, text: string, message: RegExp][] = [
  ["a wrong value", "f.yaml", "version: 1\nserver:\n  address: 5\n", /^f\.yaml:3:12: server\.address: expected string/],
  [
    "a wrong value in JSON",
    "f.json",
    '{\n  "version": 1,\n  "server": {"address": 5}\n}',
    /^f\.json:3:25: server\.add/,
  ],
  [
    "an unknown key",
    "f.yaml",
    "version: 1\nserver: {address: a}\nprot: []\n",
    /^f\.yaml:3:1: prot: there is no such key/,
  ],
  [
    "a missing key",
    "f.yaml",
    "version: 1\nserver: {}\n",
    /^f\.yaml:2:9: server\.address: expected string, it is missing/,
  ],
  [
    "a value in a list",
    "f.yaml",
    "version: 1\nserver: {address: a}\nports:\n- port: 1\n- port: 0\n",
    /^f\.yaml:5:9: ports\.1/,
  ],
  ["a syntax error", "f.yaml", "version: 1\nserver: [\n", /^f\.yaml:3:1: /],
  ["a repeated key", "f.yaml", "version: 1\nversion: 1\n", /^f\.yaml:2:1: .*unique/],
  ["a comment in JSON", "f.json", '{\n  "version": 1 # no\n}', /^f\.json:2:16: it is not JSON: Expected/],
  ["a trailing comma in JSON", "f.json", '{\n  "version": 1,\n}', /^f\.json:3:1: it is not JSON/],
  ["an empty file", "f.yaml", "", /^f\.yaml:1:1: expected object/],
  ["half a JSON file", "f.json", '{"version": 1, "ser', /^f\.json:1:\d+: /],
  ["an alias bomb", "f.yaml", bomb(), /^f\.yaml: Excessive alias/],
];

for (const [name, path, text, message] of CASES) {
  Deno.test(`parseConfig() names file, line and column of ${name}`, () => {
    throws(() => parse(text, path), { kind: "CONFIG_INVALID", message });
  });
}

function bomb(): string {
  const lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"];
  for (let i = 1; i < 9; i++) lines.push(`a${i}: &a${i} [${Array(9).fill(`*a${i - 1}`).join(", ")}]`);
  return lines.join("\n");
}
