import { dirname, join, normalize } from "node:path/posix";

/** The folders of the product, lowest first; an import may only go to a lower rank or stay inside its folder. */
const RANKS: ReadonlyMap<string, number> = new Map([
  ["protocol", 0],
  ["net", 1],
  ["client", 2],
  ["server", 2],
  ["mod.ts", 3],
  ["cli", 4],
  ["scripts", 5],
  ["tests", 5],
]);

/** What `protocol/` may import beside itself: pure code without I/O. */
const PURE_PACKAGES: ReadonlySet<string> = new Set(["node:buffer", "ipaddr.js", "tldts", "zod"]);

/** Folders and files at the top that may look at arguments and environment, print, and end the process. */
const PROCESS_FOLDERS: ReadonlySet<string> = new Set(["cli", "scripts", "tests"]);

/** The layer a file belongs to: its first folder, or the file itself at the root. */
export function layerOf(file: string): string {
  return file.split("/", 1)[0] ?? file;
}

/** Whether the file is a test or a helper of tests in a `testing/` folder, which may use the test runner and any package. */
export function isTest(file: string): boolean {
  return file.startsWith("tests/") || /_test\.tsx?$/.test(file) || file.split("/").includes("testing");
}

/** Whether the file may use `Deno.args`, `Deno.env`, `Deno.exit`, `process` and `console`. */
export function mayTouchProcess(file: string): boolean {
  return PROCESS_FOLDERS.has(layerOf(file)) || isTest(file);
}

/** What is wrong with `file` importing `specifier`, or `undefined`. Both are paths from the repository's root. */
export function importFault(file: string, specifier: string): string | undefined {
  if (!specifier.startsWith(".")) return packageFault(file, specifier);
  const target = normalize(join(dirname(file), specifier));
  if (target.startsWith("../")) return `Cannot import "${specifier}": it is outside the repository`;
  if (target.split("/").at(-1)?.startsWith("_") && dirname(target) !== dirname(file)) {
    return `Cannot import "${target}": a "_" file belongs to its own folder`;
  }
  return arrowFault(file, target);
}

function packageFault(file: string, specifier: string): string | undefined {
  if (specifier === "node:process" && !mayTouchProcess(file)) {
    return `Cannot import "node:process" in ${layerOf(file)}/: arguments and environment belong to cli/`;
  }
  if (layerOf(file) !== "protocol" || isTest(file) || PURE_PACKAGES.has(specifier)) return undefined;
  return `Cannot import "${specifier}" in protocol/: only ${[...PURE_PACKAGES].join(", ")} are pure`;
}

function arrowFault(file: string, target: string): string | undefined {
  const from = layerOf(file);
  const to = layerOf(target);
  const fromRank = RANKS.get(from);
  const toRank = RANKS.get(to);
  if (fromRank === undefined) return `Cannot place "${file}": "${from}" is not a folder of the design`;
  if (toRank === undefined) return `Cannot import "${target}": "${to}" is not a folder of the design`;
  if (from === to || toRank < fromRank) return undefined;
  // scripts/ and tests/ share the top: system tests use the scripts, and scripts the harness.
  if (fromRank === 5 && toRank === 5) return undefined;
  return `Cannot import ${to} from ${from}: arrows go cli -> {server, client} -> net -> protocol`;
}
