import { dirname, relative } from "node:path/posix";
import { fileURLToPath } from "node:url";
import { importFault } from "./layer_rules.ts";
import { type ModuleGraph, readModuleGraph } from "./module_graph.ts";

/** Every group of files that import each other, each as one closed path: `a.ts -> b.ts -> a.ts`. */
export function findCycles(graph: ModuleGraph): string[] {
  const done = new Set<string>();
  const path: string[] = [];
  const cycles = new Set<string>();

  function visit(file: string): void {
    const at = path.indexOf(file);
    if (at !== -1) {
      cycles.add([...path.slice(at), file].join(" -> "));
      return;
    }
    if (done.has(file)) return;
    path.push(file);
    for (const target of graph.get(file) ?? []) visit(target);
    path.pop();
    done.add(file);
  }

  for (const file of graph.keys()) visit(file);
  return [...cycles];
}

/** Every import against the arrows, one readable line each. */
export function findArrowFaults(graph: ModuleGraph): string[] {
  return [...graph].flatMap(([file, targets]) =>
    targets.flatMap((target) => {
      const path = relative(dirname(file), target);
      const fault = importFault(file, path.startsWith(".") ? path : `./${path}`);
      return fault === undefined ? [] : [`${file}: ${fault}`];
    })
  );
}

async function main(root: string): Promise<number> {
  const graph = await readModuleGraph(root);
  const faults = [...findArrowFaults(graph), ...findCycles(graph).map((cycle) => `Import cycle: ${cycle}`)];
  for (const fault of faults) console.error(fault);
  if (faults.length === 0) console.log(`${graph.size} modules, no cycle, all imports along the arrows`);
  return faults.length === 0 ? 0 : 1;
}

if (import.meta.main) Deno.exit(await main(Deno.args[0] ?? fileURLToPath(new URL("..", import.meta.url))));
