import { findProgram } from "../../net/testing/programs.ts";
import { within } from "./wait.ts";

/** A program that was asked to end is killed after this time. */
const END_MS = 5_000;

/** How a program is run. */
export interface RunOptions {
  stdin?: string | Uint8Array;
  cwd?: string;
  env?: Record<string, string>;
  /** A program that runs longer is killed. @default 60_000 */
  timeoutMs?: number;
}

/** What a program left. */
export interface Finished {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
  readonly bytes: Uint8Array;
}

/** Runs a program to its end. */
export async function run(
  program: string,
  args: readonly string[],
  { stdin, timeoutMs = 60_000, ...options }: RunOptions = {},
): Promise<Finished> {
  await using child = spawn(program, args, { ...options, stdin: stdin !== undefined });
  const input = stdin === undefined ? undefined : child.write(stdin);
  const [finished] = await within(
    Promise.all([child.finished, input?.then(() => child.endInput())]),
    `${program} ${args.join(" ")}`,
    timeoutMs,
  );
  return finished;
}

/** A program that runs. */
export interface Spawned extends AsyncDisposable {
  readonly pid: number;
  readonly finished: Promise<Finished>;
  /** What it has printed so far. */
  readonly stdout: string;
  readonly stderr: string;
  write(data: string | Uint8Array): Promise<void>;
  endInput(): Promise<void>;
  kill(signal?: Deno.Signal): void;
  /** Settles with the match when what it printed (on either output) matches. */
  printed(pattern: RegExp): Promise<RegExpExecArray>;
}

/** How a program is started. */
export interface SpawnOptions {
  /** Whether something will be written to it. */
  stdin?: boolean;
  cwd?: string;
  env?: Record<string, string>;
  /** How it is asked to end at the end of the test. @default "SIGTERM" */
  endSignal?: Deno.Signal;
  /** Told of every line of its standard error. */
  onErrorLine?: (line: string) => void;
}

/** Starts a program; it is killed when it still runs at the end of the test. */
export function spawn(
  program: string,
  args: readonly string[],
  { stdin = false, onErrorLine, endSignal = "SIGTERM", ...options }: SpawnOptions = {},
): Spawned {
  const child = new Deno.Command(program.includes("/") ? program : findProgram(program) ?? program, {
    args: [...args],
    stdin: stdin ? "piped" : "null",
    stdout: "piped",
    stderr: "piped",
    ...options,
  }).spawn();
  const watchers = new Set<() => void>();
  const out: Uint8Array[] = [];
  const text = { stdout: "", stderr: "" };
  async function collect(stream: ReadableStream<Uint8Array>, name: "stdout" | "stderr"): Promise<void> {
    const decoder = new TextDecoder();
    for await (const bytes of stream) {
      if (name === "stdout") out.push(bytes);
      text[name] += decoder.decode(bytes, { stream: true });
      if (name === "stderr" && onErrorLine !== undefined) tellLines(onErrorLine);
      for (const watcher of [...watchers]) watcher();
    }
  }
  let told = 0;
  function tellLines(tell: (line: string) => void): void {
    for (let end = text.stderr.indexOf("\n", told); end >= 0; end = text.stderr.indexOf("\n", told)) {
      const line = text.stderr.slice(told, end);
      told = end + 1;
      tell(line);
    }
  }
  const writer = stdin ? child.stdin.getWriter() : undefined;
  let ended = false;
  const finished = Promise.all([child.status, collect(child.stdout, "stdout"), collect(child.stderr, "stderr")])
    .then(([{ code }]): Finished => {
      ended = true;
      for (const watcher of [...watchers]) watcher();
      return { code, ...text, bytes: concat(out) };
    });
  function kill(signal: Deno.Signal = "SIGKILL"): void {
    try {
      if (!ended) child.kill(signal);
    } catch {
      // It has ended by itself.
    }
  }
  return {
    pid: child.pid,
    finished,
    get stdout() {
      return text.stdout;
    },
    get stderr() {
      return text.stderr;
    },
    async write(data) {
      try {
        await writer?.write(typeof data === "string" ? new TextEncoder().encode(data) : data);
      } catch {
        // It ended without reading all; its exit code tells.
      }
    },
    async endInput() {
      await writer?.close().catch(() => {/* it has ended */});
    },
    kill,
    async printed(pattern) {
      const { promise, resolve, reject } = Promise.withResolvers<RegExpExecArray>();
      function look(): void {
        const match = pattern.exec(text.stdout) ?? pattern.exec(text.stderr);
        if (match !== null) resolve(match);
        else if (ended) reject(new Error(`Cannot find ${pattern} as ${program} ended: ${text.stdout}${text.stderr}`));
      }
      watchers.add(look);
      look();
      try {
        return await within(promise, `${program} to print ${pattern} after ${text.stdout}${text.stderr}`);
      } finally {
        watchers.delete(look);
      }
    },
    async [Symbol.asyncDispose]() {
      // Killed outright, a server may leave its workers behind.
      kill(endSignal);
      const timer = setTimeout(kill, END_MS);
      await writer?.close().catch(() => {/* it has ended */});
      await finished;
      clearTimeout(timer);
    },
  };
}

function concat(pieces: readonly Uint8Array[]): Uint8Array {
  const bytes = new Uint8Array(pieces.reduce((size, piece) => size + piece.length, 0));
  let at = 0;
  for (const piece of pieces) {
    bytes.set(piece, at);
    at += piece.length;
  }
  return bytes;
}
