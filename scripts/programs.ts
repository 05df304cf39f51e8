import { resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { ChildProcess, type StartOptions } from "./child_process.ts";

const ROOT = fileURLToPath(new URL("..", import.meta.url));

/** A program and the arguments that always come first. */
export type CommandLine = readonly [program: string, ...args: string[]];

/** How the two programs are called. */
export interface Programs {
  readonly spokes: CommandLine;
  readonly pktriot: CommandLine;
}

/** The programs from source, run by the Deno that runs this script: there may be none on PATH. */
export function programsFromSource(): Programs {
  return { spokes: fromSource("spokes"), pktriot: fromSource("pktriot") };
}

/** The compiled programs in a folder. */
export function programsIn(folder: string): Programs {
  const suffix = Deno.build.os === "windows" ? ".exe" : "";
  return { spokes: [resolve(folder, `spokes${suffix}`)], pktriot: [resolve(folder, `pktriot${suffix}`)] };
}

/** Starts one of the programs. */
export function startProgram([program, ...first]: CommandLine, options: StartOptions): ChildProcess {
  return ChildProcess.start(program, { ...options, args: [...first, ...options.args] });
}

/** Runs one of the programs to its end and gives what it printed. @throws {Error} when it failed */
export async function runProgram([program, ...first]: CommandLine, args: readonly string[]): Promise<string> {
  const command = new Deno.Command(program, {
    args: [...first, ...args],
    env: { NO_COLOR: "1" },
    stdin: "null",
    signal: AbortSignal.timeout(RUN_TIMEOUT_MS),
  });
  const { success, stdout, stderr } = await command.output();
  const decoder = new TextDecoder();
  if (!success) throw new Error(`Cannot run ${program} ${args.join(" ")}: ${decoder.decode(stderr).trim()}`);
  return decoder.decode(stdout);
}

/** A command that needs the server may wait for it; the first run of a fresh clone also fetches packages. */
const RUN_TIMEOUT_MS = 120_000;

function fromSource(name: "spokes" | "pktriot"): CommandLine {
  return [Deno.execPath(), "run", "-A", "--config", resolve(ROOT, "deno.json"), resolve(ROOT, "cli", `${name}.ts`)];
}
