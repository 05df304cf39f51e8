import { join } from "node:path";

/** A file (mode 0600) in a folder of its own, both gone when disposed. For tests. */
export async function privateFile(name: string, text: string) {
  const folder = await Deno.makeTempDir({ prefix: "spokes_cli_" });
  const path = join(folder, name);
  await Deno.writeTextFile(path, text, { mode: 0o600 });
  return {
    folder,
    path,
    text: () => Deno.readTextFile(path),
    [Symbol.asyncDispose]: () => Deno.remove(folder, { recursive: true }),
  };
}
