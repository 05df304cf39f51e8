import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** Whether the large counts are asked for (`deno task soak`). */
export const SOAK: boolean = Deno.env.get("SOAK") === "1";

/** A folder of the test's own, which nobody else may look into. */
export interface TempDir extends AsyncDisposable {
  readonly path: string;
  /** Writes a file for the owner only, and gives its path. */
  write(name: string, text: string | Uint8Array): Promise<string>;
}

/** Makes a folder that is removed with all that is in it. */
export async function tempDir(): Promise<TempDir> {
  const path = await mkdtemp(join(tmpdir(), "spokes-test-"));
  return {
    path,
    async write(name, text) {
      const file = join(path, name);
      await (typeof text === "string"
        ? Deno.writeTextFile(file, text, { mode: 0o600 })
        : Deno.writeFile(file, text, { mode: 0o600 }));
      return file;
    },
    async [Symbol.asyncDispose]() {
      await rm(path, { recursive: true, force: true });
    },
  };
}
