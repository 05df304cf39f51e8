import { fileURLToPath } from "node:url";
import type { ChildProcess } from "../child_process.ts";
import { type Programs, programsFromSource } from "../programs.ts";
import { SkipError } from "./row.ts";

/** The collector takes its time; after so long the smallest value counts. */
const SETTLE_MS = 3_000;
const SAMPLE_MS = 250;

/** Memory of a process in RAM, KiB; buffers of the kernel's sockets are not in it. */
async function residentKiB(pid: number): Promise<number> {
  if (Deno.build.os !== "linux") throw new SkipError("memory of another process is read from Linux's /proc");
  const status = await Deno.readTextFile(`/proc/${pid}/status`);
  return Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1]);
}

/** The smallest of some seconds, when garbage of what went on before has been collected. */
async function settledKiB(pid: number): Promise<number> {
  let smallest = Infinity;
  for (const end = performance.now() + SETTLE_MS; performance.now() < end;) {
    smallest = Math.min(smallest, await residentKiB(pid));
    await new Promise((resolve) => setTimeout(resolve, SAMPLE_MS));
  }
  return smallest;
}

/** The programs, with a server that collects its garbage when {@link keptKiB} asks. @throws {SkipError} when they are compiled: those take no flags */
export function withCollector(programs: Programs): Programs {
  const [deno, run, ...rest] = programs.spokes;
  if (deno !== programsFromSource().spokes[0]) {
    throw new SkipError("compiled programs cannot be told to collect garbage");
  }
  const module = fileURLToPath(new URL("collect_garbage.ts", import.meta.url));
  return { ...programs, spokes: [deno, run!, "--v8-flags=--expose-gc", `--preload=${module}`, ...rest] };
}

/** Memory that a server of {@link withCollector} keeps, KiB: how much garbage lies about on top depends on what went on before. */
export async function keptKiB(server: ChildProcess): Promise<number> {
  server.kill("SIGUSR2");
  return await settledKiB(server.pid);
}
