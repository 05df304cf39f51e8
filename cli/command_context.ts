import type { Io } from "./io.ts";
import type { GlobalOptions } from "./program.ts";

/** What every command gets beside its own options. */
export interface CommandContext {
  readonly io: Io;
  readonly global: GlobalOptions;
}
