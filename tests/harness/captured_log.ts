import type { LogFields, Logger } from "../../net/log.ts";
import { within } from "./wait.ts";

/** One line that was logged. */
export interface LogEntry {
  readonly level: "debug" | "info" | "warn" | "error";
  readonly event: string;
  readonly fields: LogFields;
}

interface Waiter {
  readonly matches: (entry: LogEntry) => boolean;
  readonly found: (entry: LogEntry) => void;
}

/** A logger that keeps what it is told, and that can be waited for. */
export class CapturedLog implements Logger {
  readonly entries: LogEntry[] = [];
  readonly #waiters = new Set<Waiter>();

  debug(event: string, fields: LogFields = {}): void {
    this.add({ level: "debug", event, fields });
  }

  info(event: string, fields: LogFields = {}): void {
    this.add({ level: "info", event, fields });
  }

  warn(event: string, fields: LogFields = {}): void {
    this.add({ level: "warn", event, fields });
  }

  error(event: string, fields: LogFields = {}): void {
    this.add({ level: "error", event, fields });
  }

  /** Takes one entry in. */
  add(entry: LogEntry): void {
    this.entries.push(entry);
    for (const waiter of this.#waiters) {
      if (!waiter.matches(entry)) continue;
      this.#waiters.delete(waiter);
      waiter.found(entry);
    }
  }

  /** What was logged for an event, with these fields among its own. */
  all(event: string, fields: LogFields = {}): LogEntry[] {
    return this.entries.filter(matcher(event, fields));
  }

  /** The first such entry from index `from` on (default: from the start), now or later. */
  async waitFor(event: string, fields: LogFields = {}, { from = 0 }: { from?: number } = {}): Promise<LogEntry> {
    const matches = matcher(event, fields);
    const known = this.entries.slice(from).find(matches);
    if (known !== undefined) return known;
    const { promise, resolve } = Promise.withResolvers<LogEntry>();
    const waiter = { matches, found: resolve };
    this.#waiters.add(waiter);
    try {
      return await within(promise, `the log's "${event}" ${JSON.stringify(fields)}`);
    } finally {
      this.#waiters.delete(waiter);
    }
  }
}

function matcher(event: string, fields: LogFields): (entry: LogEntry) => boolean {
  return (entry) =>
    entry.event === event && Object.entries(fields).every(([key, value]) => entry.fields[key] === value);
}
