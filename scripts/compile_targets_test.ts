import assert from "node:assert/strict";
import { COMPILE_TARGETS, compileArguments, programFile, PROGRAMS } from "./compile_targets.ts";

const HOST = "x86_64-unknown-linux-gnu";

Deno.test("programFile() names the platform only when one was asked for", () => {
  const [spokes, pktriot] = PROGRAMS;
  assert.ok(spokes && pktriot);
  assert.equal(programFile(spokes, undefined, HOST), "spokes");
  assert.equal(programFile(pktriot, undefined, "x86_64-pc-windows-msvc"), "pktriot.exe");
  assert.deepEqual(COMPILE_TARGETS.map((target) => programFile(pktriot, target, HOST)), [
    "pktriot-linux-x64",
    "pktriot-linux-arm64",
    "pktriot-macos-x64",
    "pktriot-macos-arm64",
    "pktriot-windows-x64.exe",
    "pktriot-windows-arm64.exe",
  ]);
});

Deno.test("compileArguments() lets only the server, for its DNS hook, run others, and nobody load native code", () => {
  const granted = PROGRAMS.map((program) => [
    program.name,
    compileArguments(program, "out").filter((argument) => /^(-A|--allow-.*)$/.test(argument)),
  ]);
  const both = ["--allow-net", "--allow-read", "--allow-write", "--allow-env", "--allow-sys"];
  assert.deepEqual(granted, [["spokes", [...both, "--allow-run"]], ["pktriot", both]]);
});

Deno.test("compileArguments() passes modules to include, platform and output, and ends with the entry point", () => {
  const program = { name: "a", entry: "cli/a.ts", include: ["b.ts", "c.ts"] };
  const target = { name: "linux-arm64", triple: "aarch64-unknown-linux-gnu" };
  assert.deepEqual(compileArguments(program, "out/a", target).slice(-9), [
    ...["--include", "b.ts", "--include", "c.ts"],
    ...["--target", "aarch64-unknown-linux-gnu", "--output", "out/a", "cli/a.ts"],
  ]);
});

Deno.test("PROGRAMS names files that exist", async () => {
  for (const path of PROGRAMS.flatMap(({ entry, include }) => [entry, ...include])) {
    assert.ok((await Deno.stat(new URL(`../${path}`, import.meta.url))).isFile, path);
  }
});
