import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { within } from "./wait.ts";

/** The third-party programs of the tests, and the Debian package that has each. */
export const PROGRAMS: Readonly<Record<string, string>> = {
  "chromium": "chromium",
  "curl": "curl",
  "dnsmasq": "dnsmasq-base",
  "faketime": "faketime",
  "iperf3": "iperf3",
  "mariadb": "mariadb-client",
  "mariadbd": "mariadb-server",
  "microsocks": "microsocks",
  "nc": "netcat-openbsd",
  "nginx": "nginx",
  "openssl": "openssl",
  "pebble": "pebble",
  "pebble-challtestsrv": "pebble",
  "proxychains4": "proxychains4",
  "redis-benchmark": "redis-tools",
  "redis-cli": "redis-tools",
  "redis-server": "redis-server",
  "scp": "openssh-client",
  "socat": "socat",
  "ssh": "openssh-client",
  "ssh-keygen": "openssh-client",
  "sshd": "openssh-server",
  "wrk": "wrk",
};

/** Name of a program the tests know. */
export type ProgramName = keyof typeof PROGRAMS & string;

/** A missing program fails a test where all are to be installed, and skips it elsewhere. */
const CI = Deno.env.get("CI") === "true";
/** A program that was asked to end is killed after this time. */
const END_MS = 5_000;
/** Where the tests of all files note what was skipped: the last test tells. They share a process, and so its id. */
const SKIPPED = join(tmpdir(), `spokes-tests-${Deno.pid}-skipped`);

/** Where a program is: on PATH, or where a system keeps its servers. */
export function findProgram(name: string): string | undefined {
  const folders = [...(Deno.env.get("PATH") ?? "").split(delimiter), "/usr/local/sbin", "/usr/sbin", "/sbin"];
  return folders.map((folder) => join(folder, name)).find(isProgram);
}

function isProgram(path: string): boolean {
  try {
    const { isFile, mode } = Deno.statSync(path);
    return isFile && ((mode ?? 0o111) & 0o111) !== 0;
  } catch {
    return false; // It is not there.
  }
}

/** A test that needs third-party programs. */
export function programTest(name: string, programs: readonly string[], test: () => Promise<void>): void {
  const missing = programs.filter((program) => findProgram(program) === undefined);
  if (missing.length > 0 && !CI) {
    Deno.writeTextFileSync(SKIPPED, `${name} (needs ${missing.join(", ")})\n`, { append: true });
    return Deno.test({ name, ignore: true, fn: test });
  }
  Deno.test(name, async () => {
    if (missing.length > 0) {
      const packages = missing.map((program) => PROGRAMS[program] ?? program);
      throw new Error(`Cannot run without ${missing.join(", ")}: apt-get install ${packages.join(" ")}`);
    }
    await test();
  });
}

/** The tests that were skipped in this run so far; forgets them. */
export async function takeSkipped(): Promise<string[]> {
  try {
    const text = await Deno.readTextFile(SKIPPED);
    await Deno.remove(SKIPPED);
    return text.trim().split("\n");
  } catch {
    return []; // Nothing was.
  }
}

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
