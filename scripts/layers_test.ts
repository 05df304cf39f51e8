import assert from "node:assert/strict";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { findArrowFaults, findCycles } from "./layers.ts";

const SCRIPT = fileURLToPath(new URL("./layers.ts", import.meta.url));

interface Outcome {
  readonly code: number;
  readonly lines: readonly string[];
}

/** Runs the script on a folder made of `files`. */
async function layersOf(files: Readonly<Record<string, string>>): Promise<Outcome> {
  const root = await Deno.makeTempDir();
  try {
    for (const [name, text] of Object.entries({ "deno.json": "{}", ...files })) {
      await Deno.mkdir(dirname(join(root, name)), { recursive: true });
      await Deno.writeTextFile(join(root, name), text);
    }
    const command = new Deno.Command(Deno.execPath(), { args: ["run", "-A", SCRIPT, root], env: { NO_COLOR: "1" } });
    const { code, stderr } = await command.output();
    return { code, lines: new TextDecoder().decode(stderr).split("\n").filter((line) => line !== "") };
  } finally {
    await Deno.remove(root, { recursive: true });
  }
}

Deno.test("findCycles() gives each cycle once, as a closed path", () => {
  const graph = new Map([
    ["a.ts", ["b.ts", "d.ts"]],
    ["b.ts", ["c.ts"]],
    ["c.ts", ["b.ts", "d.ts"]],
    ["d.ts", []],
    ["e.ts", ["e.ts"]],
  ]);
  assert.deepEqual(findCycles(graph), ["b.ts -> c.ts -> b.ts", "e.ts -> e.ts"]);
});

Deno.test("findCycles() accepts a diamond", () => {
  const graph = new Map([["a.ts", ["b.ts", "c.ts"]], ["b.ts", ["d.ts"]], ["c.ts", ["d.ts"]], ["d.ts", []]]);
  assert.deepEqual(findCycles(graph), []);
});

Deno.test("findArrowFaults() names file and arrow", () => {
  const graph = new Map([["client/a.ts", ["server/b.ts", "net/c.ts", "client/d.ts"]], ["net/c.ts", ["cli/e.ts"]]]);
  const faults = findArrowFaults(graph);
  assert.equal(faults.length, 2);
  assert.match(faults[0] ?? "", /^client\/a\.ts: Cannot import server from client/);
  assert.match(faults[1] ?? "", /^net\/c\.ts: Cannot import cli from net/);
});

Deno.test("layers.ts fails on a cycle of type imports and on a wrong arrow", async () => {
  const { code, lines } = await layersOf({
    "net/a.ts": `import type { B } from "./b.ts";\nexport type A = B;\n`,
    "net/b.ts": `export type B = import("./a.ts").A | 1;\n`,
    "protocol/c.ts": `export const c = await import("../net/a.ts");\n`,
  });
  assert.equal(code, 1);
  assert.deepEqual(lines.length, 2);
  assert.match(lines[0] ?? "", /^protocol\/c\.ts: Cannot import net from protocol/);
  assert.equal(lines[1], "Import cycle: net/a.ts -> net/b.ts -> net/a.ts");
});

Deno.test("layers.ts fails on a file that is imported and does not exist", async () => {
  const { code, lines } = await layersOf({ "net/a.ts": `export * from "./gone.ts";\n` });
  assert.equal(code, 1);
  assert.match(lines.join("\n"), /gone\.ts/);
});
