import type { z } from "zod";
import { type CodedError, toCodedError } from "../protocol/errors.ts";
import { loadConfig, stampOf } from "./config_file.ts";
import { delay } from "../net/delay.ts";

/** A look costs one stat; seen and applied within half a second, whatever wrote the file and on whatever file system. */
const POLL_MS = 200;
/** An editor that writes in place is given so long to finish: half a file may well be a valid one with fewer rules. */
const SETTLE_MS = 50;
/** Some editors remove the file and write it anew: a fault must outlive two looks before it is reported. */
const LOOKS_BEFORE_FAULT = 2;

/** What happened to a watched configuration. After a fault the last good value stays in force. */
export type ConfigEvent<T> = { kind: "changed"; value: T } | { kind: "fault"; error: CodedError };

/** What {@link watchConfig} needs to know. */
export interface WatchConfigOptions<T> {
  schema: z.ZodType<T>;
  /** Stamp of the value that is in force; an edit made since is reported at once. */
  stamp: string;
  signal: AbortSignal;
  pollMs?: number;
}

/** Reports every edit of a configuration file, until the signal aborts. Polling: notifications miss renames, links and network mounts. */
export async function* watchConfig<T>(path: string, options: WatchConfigOptions<T>): AsyncGenerator<ConfigEvent<T>> {
  const { schema, signal, pollMs = POLL_MS } = options;
  let known = options.stamp;
  let faulty = { stamp: "", looks: 0 };
  while (!signal.aborted) {
    const stamp = await settledStamp(path, known, signal);
    if (stamp !== known && !signal.aborted) {
      const event = await load(path, schema);
      if (event.kind === "changed") {
        known = event.stamp;
        faulty = { stamp: "", looks: 0 };
        yield { kind: "changed", value: event.value };
      } else {
        faulty = { stamp, looks: faulty.stamp === stamp ? faulty.looks + 1 : 1 };
        if (faulty.looks >= LOOKS_BEFORE_FAULT) {
          known = stamp;
          yield event;
        }
      }
    }
    await delay(pollMs, { signal });
  }
}

type Loaded<T> = { kind: "changed"; value: T; stamp: string } | { kind: "fault"; error: CodedError };

async function load<T>(path: string, schema: z.ZodType<T>): Promise<Loaded<T>> {
  try {
    const { value, stamp } = await loadConfig(path, schema);
    return { kind: "changed", value, stamp };
  } catch (error) {
    return { kind: "fault", error: toCodedError(error, "CONFIG_INVALID") };
  }
}

/** The stamp now, once it has stopped moving. */
async function settledStamp(path: string, known: string, signal: AbortSignal): Promise<string> {
  let stamp = await stampAt(path);
  while (stamp !== known && !signal.aborted) {
    await delay(SETTLE_MS, { signal });
    const next = await stampAt(path);
    if (next === stamp) return stamp;
    stamp = next;
  }
  return stamp;
}

async function stampAt(path: string): Promise<string> {
  try {
    return stampOf(await Deno.stat(path));
  } catch (error) {
    return `missing: ${error instanceof Error ? error.name : error}`;
  }
}
