import { configureSync, getLogger, type LogRecord } from "@logtape/logtape";
import type { LogFields, Logger } from "../net/log.ts";
import { formatJson, formatText } from "./log_format.ts";
import { LogLimit } from "./log_limit.ts";

/** What {@link openLog} takes. */
export interface LogOptions {
  level: "debug" | "info" | "warn" | "error";
  format: "text" | "json";
  /** Takes finished lines, without a line end. */
  write: (line: string) => void;
  now?: () => number;
}

/** A {@link Logger} of a program; closing it says what was left out last. */
export interface Log extends Logger, Disposable {}

/** The program's log: one line per event, escaped, without secrets, bounded in length and rate. */
export function openLog(options: LogOptions): Log {
  const format = options.format === "json" ? formatJson : formatText;
  configureSync({
    // One program has one log; tests open several, one after the other.
    reset: true,
    sinks: { lines: (record: LogRecord) => options.write(format(record)) },
    loggers: [
      { category: ["spokes"], lowestLevel: options.level === "warn" ? "warning" : options.level, sinks: ["lines"] },
      // The library's advice to people who configure it; there is nothing to advise.
      { category: ["logtape", "meta"], lowestLevel: "fatal", sinks: [] },
    ],
  });
  const logger = getLogger(["spokes"]);
  const limit = new LogLimit(options.now);
  function saySuppressed(all: boolean): void {
    for (const { event, count } of limit.takeSuppressed({ all })) {
      logger.warn("log lines suppressed", { suppressed: event, count });
    }
  }
  function log(level: "debug" | "info" | "warn" | "error", event: string, fields: LogFields = {}): void {
    saySuppressed(false);
    if (limit.allows(event)) logger[level](event, { ...fields });
  }
  return {
    debug(event, fields) {
      // The commonest and nearly always off: cheap when it is.
      if (options.level === "debug") log("debug", event, fields);
    },
    info: (event, fields) => log("info", event, fields),
    warn: (event, fields) => log("warn", event, fields),
    error: (event, fields) => log("error", event, fields),
    [Symbol.dispose]: () => saySuppressed(true),
  };
}
