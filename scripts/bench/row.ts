import type { ProductSystem, System } from "./systems.ts";
import type { Targets } from "./targets.ts";
import type { Tool } from "./tools.ts";

/** What every row may use. */
export interface BenchContext {
  readonly tools: Partial<Record<Tool, string>>;
  readonly targets: Targets;
  readonly direct: System;
  readonly product: ProductSystem;
  /** All of them, `direct` first and `product` last: the columns of the table. */
  readonly systems: readonly System[];
  /** Repetitions, interleaved: what slows the machine down slows all systems down. */
  readonly rounds: number;
  /** Time of one measurement of throughput, in seconds. */
  readonly seconds: number;
  /** Idle tunnels at once. */
  readonly tunnels: number;
  /** Says what is being done. */
  readonly note: (text: string) => void;
}

/** A line of the table: a value for each system that was measured, by its name. */
export interface RowResult {
  readonly title: string;
  readonly unit: string;
  readonly values: Readonly<Record<string, number>>;
  /** Whether the ratios of this row mean something. @default true */
  readonly ratios?: boolean;
}

/** A part of the bench that `--only` can name. */
export interface Row {
  readonly name: string;
  readonly about: string;
  /** What must be installed for it. */
  readonly needs?: readonly Tool[];
  run(context: BenchContext): Promise<readonly RowResult[]>;
}

/** Thrown by a row that cannot be measured here, with the reason. */
export class SkipError extends Error {
  override readonly name = "SkipError";
}
