import { median } from "./numbers.ts";
import type { BenchContext } from "./row.ts";
import type { Service, System } from "./systems.ts";
import type { Entrance } from "./load.ts";

/** Measures every system that carries the service, one after the other, in several rounds; gives the medians by system. */
export async function interleave(
  context: Pick<BenchContext, "systems" | "rounds" | "note">,
  options: { title: string; service: Service; measure: (entrance: Entrance, system: System) => Promise<number> },
): Promise<Record<string, number>> {
  const { title, service, measure } = options;
  const measured = new Map<string, number[]>();
  for (let round = 1; round <= context.rounds; round++) {
    for (const system of context.systems) {
      const entrance = system.entrances[service];
      if (entrance === undefined) continue;
      context.note(`${title}: ${system.name}, round ${round} of ${context.rounds}`);
      const values = measured.get(system.name) ?? [];
      try {
        values.push(await measure(entrance, system));
      } catch (error) {
        // A sketch may fail; what it is compared with may not.
        if (system.name !== "prototype") throw error;
        context.note(`${title}: prototype: ${error instanceof Error ? error.message : error}`);
      }
      measured.set(system.name, values);
    }
  }
  return Object.fromEntries([...measured].map(([name, values]) => [name, median(values)]));
}
