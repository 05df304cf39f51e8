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
export async function settledKiB(pid: number): Promise<number> {
  let smallest = Infinity;
  for (const end = performance.now() + SETTLE_MS; performance.now() < end;) {
    smallest = Math.min(smallest, await residentKiB(pid));
    await new Promise((resolve) => setTimeout(resolve, SAMPLE_MS));
  }
  return smallest;
}
