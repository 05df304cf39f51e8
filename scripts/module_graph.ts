import { join, relative } from "node:path";

/** Which file imports which, as paths from the root; type imports and dynamic imports included, packages left out. */
export type ModuleGraph = ReadonlyMap<string, readonly string[]>;

/** What this script reads of `deno info --json`. */
interface ModuleInfo {
  readonly local?: string;
  readonly error?: string;
  readonly dependencies?: ReadonlyArray<{
    readonly code?: { readonly specifier?: string };
    readonly type?: { readonly specifier?: string };
  }>;
}

const SKIPPED_FOLDERS: ReadonlySet<string> = new Set([".git", "dist", "node_modules"]);

/** All TypeScript files below `root`, as sorted paths from it. */
async function listSources(root: string): Promise<string[]> {
  const found: string[] = [];
  async function walk(folder: string): Promise<void> {
    for await (const entry of Deno.readDir(folder)) {
      const path = join(folder, entry.name);
      if (entry.isDirectory && !SKIPPED_FOLDERS.has(entry.name)) await walk(path);
      else if (entry.isFile && /\.tsx?$/.test(entry.name)) found.push(relative(root, path).replaceAll("\\", "/"));
    }
  }
  await walk(root);
  return found.sort();
}

/** Reads the graph of every source below `root`. Throws when a module cannot be read or parsed. */
export async function readModuleGraph(root: string): Promise<ModuleGraph> {
  const sources = await listSources(root);
  const folder = await Deno.makeTempDir({ prefix: "spokes-layers-" });
  try {
    // `deno info` takes one module: this one imports all others.
    const entry = join(folder, "all.ts");
    const lines = sources.map((file) => `import ${JSON.stringify(join(root, file))};\n`);
    await Deno.writeTextFile(entry, lines.join(""));
    return toGraph(await denoInfo(root, entry), root, new Set(sources));
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

async function denoInfo(root: string, entry: string): Promise<readonly ModuleInfo[]> {
  const config = join(root, "deno.json");
  const { success, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["info", "--json", "--no-lock", "--config", config, entry],
    env: { NO_COLOR: "1" },
  }).output();
  if (!success) throw new Error(`Cannot read the module graph: ${new TextDecoder().decode(stderr).trim()}`);
  return JSON.parse(new TextDecoder().decode(stdout)).modules;
}

function toGraph(modules: readonly ModuleInfo[], root: string, sources: ReadonlySet<string>): ModuleGraph {
  const graph = new Map<string, string[]>();
  for (const module of modules) {
    if (module.error !== undefined) throw new Error(`Cannot read the module graph: ${module.error}`);
    if (module.local === undefined) continue;
    const file = relative(root, module.local).replaceAll("\\", "/");
    if (!sources.has(file)) continue;
    const targets = (module.dependencies ?? []).flatMap(({ code, type }) => [code?.specifier, type?.specifier]);
    const local = targets.flatMap((target) => target?.startsWith("file:") ? [fromUrl(target, root)] : []);
    graph.set(file, [...new Set(local)]);
  }
  return graph;
}

function fromUrl(url: string, root: string): string {
  const path = decodeURIComponent(new URL(url).pathname).replace(/^\/(?=[A-Za-z]:)/, "");
  return relative(root, path).replaceAll("\\", "/");
}
