import { deepEqual, equal } from "node:assert/strict";
import { CodedError } from "../protocol/errors.ts";
import { pktriotProgram } from "./pktriot/program.ts";
import { createProgram, runProgram } from "./program.ts";
import { memoryIo } from "./testing/memory_io.ts";

function sample(failure?: unknown) {
  const io = memoryIo();
  const program = createProgram({ name: "demo", description: "d", configEnv: "DEMO_CONFIG", configHelp: "c", io });
  const group = program.command("route");
  group.command("add").option("--domain <name>").action(() => {
    if (failure !== undefined) throw failure;
    io.print("added");
  });
  group.command("rm").action(() => {});
  return { io, run: (...args: string[]) => runProgram(program, args, io) };
}

Deno.test("runProgram() ends with 0 after a command", async () => {
  const { io, run } = sample();
  equal(await run("route", "add"), 0);
  deepEqual(io.out, ["added"]);
});

Deno.test("runProgram() ends with 1 and one line when a command fails", async () => {
  const { io, run } = sample(new CodedError("NAME_TAKEN", 'The name "a.example.com" belongs to another tunnel.'));
  equal(await run("route", "add"), 1);
  deepEqual(io.err, ['error E4001: The name "a.example.com" belongs to another tunnel. Choose another name.']);
});

Deno.test("runProgram() suggests the flag that was meant", async () => {
  const { io, run } = sample();
  equal(await run("route", "add", "--domian", "x"), 2);
  deepEqual(io.err, [
    "error E5007: Unknown option '--domian'. Did you mean --domain? Look at `demo route add --help`.",
  ]);
});

Deno.test("runProgram() suggests the command that was meant", async () => {
  const { io, run } = sample();
  equal(await run("route", "ad"), 2);
  deepEqual(io.err, ["error E5007: Unknown command 'ad'. Did you mean add? Look at `demo route --help`."]);
});

Deno.test("runProgram() refuses a value that is not one of the choices", async () => {
  const { io, run } = sample();
  equal(await run("--log-level", "loud", "route", "add"), 2);
  equal(io.err.length, 1);
});

Deno.test("runProgram() shows help of a group without a command, as usage", async () => {
  const { io, run } = sample();
  equal(await run("route"), 2);
  equal(io.err.join("\n").includes("Usage: demo route"), true);
});

Deno.test("runProgram() prints help on standard output", async () => {
  const { io, run } = sample();
  equal(await run("route", "add", "--help"), 0);
  equal(io.out.join("\n").includes("Usage: demo route add"), true);
  deepEqual(io.err, []);
});

Deno.test("runProgram() answers a shell that asks what may come next", async () => {
  const program = pktriotProgram(memoryIo());
  const lines: string[] = [];
  const { log } = console;
  console.log = (...parts: unknown[]) => void lines.push(parts.join(" "));
  try {
    equal(await runProgram(program, ["complete", "--", "route", "http", "a"], memoryIo()), 0);
  } finally {
    console.log = log;
  }
  deepEqual(lines, ["add\tpublish a domain, or change where it leads", ":4"]);
});
