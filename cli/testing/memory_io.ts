import type { Io } from "../io.ts";

/** An {@link Io} that keeps what was written. */
export interface MemoryIo extends Io {
  readonly out: string[];
  readonly err: string[];
}

/** An {@link Io} for tests. */
export function memoryIo(options: { env?: Readonly<Record<string, string>>; input?: string } = {}): MemoryIo {
  const out: string[] = [];
  const err: string[] = [];
  return {
    out,
    err,
    print: (lines) => void out.push(...(typeof lines === "string" ? [lines] : lines)),
    report: (lines) => void err.push(...(typeof lines === "string" ? [lines] : lines)),
    readInput: () => Promise.resolve(options.input ?? ""),
    env: (name) => options.env?.[name],
    interactive: false,
  };
}
