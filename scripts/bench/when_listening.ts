import type { ChildProcess } from "../child_process.ts";

/** Waits until something accepts, for programs that do not say so. @throws {Error} when the program ends first */
export async function whenListening(port: number, child?: ChildProcess): Promise<void> {
  let ended = false;
  child?.ended.then(() => ended = true);
  for (const end = performance.now() + 10_000; performance.now() < end && !ended;) {
    try {
      (await Deno.connect({ hostname: "127.0.0.1", port })).close();
      return;
    } catch (error) {
      if (!(error instanceof Deno.errors.ConnectionRefused)) throw error;
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  }
  throw new Error(`Cannot go on as nothing listens on port ${port}: ${child?.output ?? ""}`);
}
