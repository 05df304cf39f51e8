import { medianRatio } from "./in_rounds.ts";
import { median } from "./numbers.ts";
import type { RowResult } from "./row.ts";

/** What was measured of the ways of `MeshWays`, by their names. */
export type MeshMeasured = Readonly<Record<string, readonly number[]>>;

const WAYS = [["rule", "TCP rule"], ["map", "port map"], ["socks", "SOCKS5"]] as const;

/** A row for each way, and for each that goes from tunnel to tunnel one with its ratio to the TCP rule. */
export function meshResults(measured: MeshMeasured, at: { title: string; unit: string; direct: string }): RowResult[] {
  const { title, unit, direct } = at;
  const ways = WAYS.filter(([way]) => measured[way] !== undefined);
  return [
    ...ways.map(([way, name]) => ({
      title: `${title}, ${name}`,
      unit,
      values: { [direct]: median(measured.none ?? []), product: median(measured[way]!) },
    })),
    ...ways.filter(([way]) => way !== "rule").map(([way, name]) => ({
      title: `${title}, ${name} / TCP rule`,
      unit: "ratio",
      values: { product: medianRatio(measured[way]!, measured.rule ?? []) },
      ratios: false,
    })),
  ];
}
