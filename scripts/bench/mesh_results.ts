import { medianRatio } from "./in_rounds.ts";
import { median } from "./numbers.ts";
import type { RowResult } from "./row.ts";

/** What was measured of the ways of `MeshWays`, by their names. */
export type MeshMeasured = Readonly<Record<string, readonly number[]>>;

/** CPU time of the programs in each way, for a unit of work: of all, and of the busiest. */
export interface MeshCpu {
  readonly all: MeshMeasured;
  readonly busiest: MeshMeasured;
}

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

/**
 * Rows about CPU time. A map needs one program more than a rule, which decides where they share few cores; where each has one of its
 * own, the busiest decides.
 */
export function meshCpuResults(
  { all, busiest }: MeshCpu,
  { title, unit }: { title: string; unit: string },
): RowResult[] {
  const ways = WAYS.filter(([way]) => way !== "socks");
  return [
    ...ways.map(([way, name]) => ({
      title: `${title}, ${name}: CPU of the programs`,
      ...{ unit, values: { product: median(all[way] ?? []) }, ratios: false },
    })),
    {
      title: `${title}, port map / TCP rule, with a core for each program`,
      ...{ unit: "ratio", values: { product: medianRatio(busiest.rule ?? [], busiest.map ?? []) }, ratios: false },
    },
  ];
}
