import type { CommandContext } from "./command_context.ts";
import { type Log, type LogOptions, openLog } from "./log.ts";

/** What a configuration file says about logging. */
export interface LogConfig {
  level?: LogOptions["level"] | undefined;
  format?: LogOptions["format"] | undefined;
}

/** The log of a running program, on standard error: as the flags say, else as the configuration does. */
export function programLog({ io, global }: CommandContext, config: LogConfig = {}): Log {
  return openLog({
    level: global.logLevel ?? config.level ?? "info",
    format: global.logFormat ?? config.format ?? "text",
    write: (line) => io.report(line),
  });
}
