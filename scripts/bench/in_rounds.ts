import { median } from "./numbers.ts";
import type { BenchContext } from "./row.ts";

/** Measures every way, one after the other, in several rounds; gives the values of each in the order of the rounds. */
export async function inRounds<Way extends string, Value>(
  { rounds, note }: Pick<BenchContext, "rounds" | "note">,
  title: string,
  ways: Readonly<Record<Way, () => Promise<Value>>>,
): Promise<Record<Way, Value[]>> {
  const names = Object.keys(ways) as Way[];
  const measured = Object.fromEntries(names.map((name) => [name, [] as Value[]])) as Record<Way, Value[]>;
  for (let round = 1; round <= rounds; round++) {
    for (const name of names) {
      note(`${title}: ${name}, round ${round} of ${rounds}`);
      measured[name].push(await ways[name]());
    }
  }
  return measured;
}

/** The median of the ratios within each round: what slowed both down is in neither. */
export function medianRatio(values: readonly number[], base: readonly number[]): number {
  return median(values.map((value, round) => value / (base[round] ?? NaN)));
}
