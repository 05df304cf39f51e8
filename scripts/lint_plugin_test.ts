import assert from "node:assert/strict";
import plugin from "./lint_plugin.ts";

interface Case {
  readonly file: string;
  readonly source: string;
  /** Rule names without the prefix, in the order of the reports; empty when the source is fine. */
  readonly faults: readonly string[];
}

const ARROWS: readonly Case[] = [
  { file: "cli/spokes.ts", source: `import { a } from "../server/a.ts";`, faults: [] },
  { file: "cli/spokes.ts", source: `import { a } from "../mod.ts";`, faults: [] },
  { file: "mod.ts", source: `export { a } from "./client/a.ts";`, faults: [] },
  { file: "mod.ts", source: `export { a } from "./cli/a.ts";`, faults: ["layers"] },
  { file: "server/edge/a.ts", source: `import { a } from "../../net/http/a.ts";`, faults: [] },
  { file: "server/a.ts", source: `import { a } from "../client/a.ts";`, faults: ["layers"] },
  { file: "client/a.ts", source: `import type { A } from "../server/a.ts";`, faults: ["layers"] },
  { file: "client/a.ts", source: `type A = import("../server/a.ts").A;`, faults: ["layers"] },
  { file: "client/a.ts", source: `await import("../server/a.ts");`, faults: ["layers"] },
  { file: "client/a.ts", source: `new Worker(new URL("../server/a.ts", import.meta.url));`, faults: ["layers"] },
  { file: "server/a.ts", source: `new Worker(new URL("./a_worker.ts", import.meta.url));`, faults: [] },
  { file: "net/a.ts", source: `export * from "../server/a.ts";`, faults: ["layers"] },
  { file: "net/a.ts", source: `export { a } from "../cli/a.ts";`, faults: ["layers"] },
  { file: "protocol/a.ts", source: `import { a } from "../net/a.ts";`, faults: ["layers"] },
  { file: "protocol/a.ts", source: `import { z } from "zod"; import { Buffer } from "node:buffer";`, faults: [] },
  { file: "protocol/a.ts", source: `import { connect } from "node:net";`, faults: ["layers"] },
  { file: "protocol/a.ts", source: `import { Hono } from "hono";`, faults: ["layers"] },
  {
    file: "protocol/a_test.ts",
    source: `import assert from "node:assert/strict"; import fc from "fast-check";`,
    faults: [],
  },
  { file: "net/a.ts", source: `import { a } from "../tests/harness.ts";`, faults: ["layers"] },
  { file: "net/a.ts", source: `import { a } from "../../elsewhere/a.ts";`, faults: ["layers"] },
  { file: "net/a.ts", source: `import process from "node:process";`, faults: ["layers"] },
  {
    file: "tests/a_test.ts",
    source: `import { a } from "../cli/a.ts"; import { b } from "../scripts/b.ts";`,
    faults: [],
  },
  { file: "misc/a.ts", source: `import { a } from "../net/a.ts";`, faults: ["layers"] },
  { file: "net/a.ts", source: `import { a } from "./_a.ts";`, faults: [] },
  { file: "net/a.ts", source: `import { a } from "./http/_a.ts";`, faults: ["layers"] },
];

const PROCESS: readonly Case[] = [
  {
    file: "net/a.ts",
    source: `Deno.exit(1); Deno.env.get("A"); Deno.args.length;`,
    faults: Array(3).fill("process-globals"),
  },
  { file: "net/a.ts", source: `Deno["exit"](1); Deno.exitCode = 1;`, faults: ["process-globals", "process-globals"] },
  { file: "server/a.ts", source: `console.log("x"); process.env.A;`, faults: ["process-globals", "process-globals"] },
  { file: "server/a.ts", source: `const console2 = { log(): void {} }; console2.log();`, faults: [] },
  { file: "cli/a.ts", source: `console.log(Deno.args); Deno.exit(Deno.env.has("A") ? 1 : 0);`, faults: [] },
  { file: "net/a_test.ts", source: `Deno.env.get("SOAK");`, faults: [] },
  { file: "server/store/testing/a.ts", source: `Deno.exit(Deno.args.length);`, faults: [] },
  { file: "net/a.ts", source: `await Deno.connect({ port: 1 });`, faults: [] },
  { file: "protocol/a.ts", source: `await Deno.connect({ port: 1 });`, faults: ["pure-protocol"] },
  { file: "protocol/a_test.ts", source: `Deno.test("a", () => {});`, faults: [] },
];

const HABITS: readonly Case[] = [
  { file: "net/a.ts", source: `const a = () => 1;`, faults: ["no-top-level-arrow"] },
  { file: "net/a.ts", source: `export const a = async (): Promise<void> => {};`, faults: ["no-top-level-arrow"] },
  { file: "net/a.ts", source: `function a(): void { const b = () => 1; b(); }`, faults: [] },
  { file: "net/a.ts", source: `const a = [1].map((x) => x);`, faults: [] },
  { file: "net/a.ts", source: `class A { private a = 1; }`, faults: ["no-private-keyword"] },
  { file: "net/a.ts", source: `class A { private a(): void {} }`, faults: ["no-private-keyword"] },
  { file: "net/a.ts", source: `class A { constructor(private a: number) {} }`, faults: ["no-private-keyword"] },
  { file: "net/a.ts", source: `class A { #a = 1; protected b = 1; readonly c = 1; }`, faults: [] },
  { file: "net/a.ts", source: `enum A { B }`, faults: ["no-enum-or-namespace"] },
  { file: "net/a.ts", source: `namespace A { export const b = 1; }`, faults: ["no-enum-or-namespace"] },
  { file: "net/a.ts", source: `export default 1;`, faults: ["no-default-export"] },
  { file: "scripts/lint_plugin.ts", source: `export default 1;`, faults: [] },
  { file: "net/a.ts", source: `try { a(); } catch {}`, faults: ["no-silent-catch"] },
  { file: "net/a.ts", source: `try { a(); } catch { /* it is gone already */ }`, faults: [] },
  { file: "net/a.ts", source: `try { a(); } catch {\n  // It is gone already.\n}`, faults: [] },
  { file: "net/a.ts", source: `try { a(); } catch (error) { b(error); }`, faults: [] },
  { file: "net/a.ts", source: `await a().catch(() => {});`, faults: ["no-silent-catch"] },
  { file: "net/a.ts", source: `// It is gone already.\nawait a().catch(() => {});`, faults: [] },
  { file: "net/a.ts", source: `await a().catch(() => {}); // it is gone already`, faults: [] },
  { file: "net/a.ts", source: `await a().catch(() => undefined);`, faults: [] },
  { file: "net/a.ts", source: `export function a(): void {}`, faults: ["doc-comment"] },
  { file: "net/a.ts", source: `export class A {}`, faults: ["doc-comment"] },
  { file: "net/a.ts", source: `// Says a.\nexport function a(): void {}`, faults: ["doc-comment"] },
  { file: "net/a.ts", source: `/** Says a. */\nexport async function a(): Promise<void> {}`, faults: [] },
  {
    file: "net/a.ts",
    source: `/** Says a. */\nexport function a(b: 1): 1;\nexport function a(b: 1): 1 { return b; }`,
    faults: [],
  },
  { file: "net/a_test.ts", source: `export function a(): void {}`, faults: [] },
  { file: "net/dataChannel.ts", source: `export const a = 1;`, faults: ["file-name"] },
  { file: "net/data-channel.ts", source: `export const a = 1;`, faults: ["file-name"] },
  { file: "net/data_channel_test.ts", source: `export const a = 1;`, faults: [] },
  { file: "net/_data.ts", source: `export const a = 1;`, faults: [] },
];

function faultsOf(file: string, source: string): string[] {
  return Deno.lint.runPlugin(plugin, file, source).map((diagnostic) => diagnostic.id.replace("spokes/", ""));
}

function checkAll(cases: readonly Case[]): void {
  for (const { file, source, faults } of cases) {
    assert.deepEqual(faultsOf(file, source), faults, `${file}: ${source}`);
  }
}

Deno.test("lint plugin holds the arrows between the folders", () => checkAll(ARROWS));
Deno.test("lint plugin keeps process globals in the entry points and protocol/ pure", () => checkAll(PROCESS));
Deno.test("lint plugin holds the habits of the code", () => checkAll(HABITS));
Deno.test("lint plugin sees absolute file names of the checkout as paths from its root", () => {
  const file = new URL("../server/a.ts", import.meta.url).pathname;
  assert.deepEqual(faultsOf(file, `import { a } from "../client/a.ts";`), ["layers"]);
});
