import { join } from "node:path";

/** A file in a folder of its own. */
export interface PrivateFile extends AsyncDisposable {
  readonly folder: string;
  readonly path: string;
  text(): Promise<string>;
}

/** Makes a file of mode 0600; it and its folder are gone when disposed. */
export async function privateFile(name: string, text: string): Promise<PrivateFile> {
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
