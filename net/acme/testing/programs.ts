import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";

/** A missing program fails a test where all are to be installed, and skips it elsewhere. */
const CI = Deno.env.get("CI") === "true";
/** The list that tests/zz_skipped_test.ts shows at the end of the run: the same file as in tests/harness/programs.ts. */
const SKIPPED = join(tmpdir(), `spokes-tests-${Deno.pid}-skipped`);
/** A program that was asked to end is killed after this time. */
const END_MS = 5_000;

/** Where a program is on PATH. */
export function findProgram(name: string): string | undefined {
  const folders = (Deno.env.get("PATH") ?? "").split(delimiter);
  return folders.map((folder) => join(folder, name)).find(isFile);
}

function isFile(path: string): boolean {
  try {
    return Deno.statSync(path).isFile;
  } catch {
    return false; // It is not there.
  }
}

/** A test that needs third-party programs: elsewhere than in CI it is skipped, and named, when one is missing. */
export function programTest(name: string, programs: readonly string[], test: () => Promise<void>): void {
  const missing = programs.filter((program) => findProgram(program) === undefined);
  if (missing.length > 0 && !CI) {
    Deno.writeTextFileSync(SKIPPED, `${name} (needs ${missing.join(", ")})\n`, { append: true });
    return Deno.test({ name, ignore: true, fn: test });
  }
  Deno.test(name, async () => {
    if (missing.length > 0) throw new Error(`Cannot run without ${missing.join(", ")}`);
    await test();
  });
}

/** A program that runs in the background, with what it printed on both outputs. */
export interface RunningProgram extends AsyncDisposable {
  readonly output: string;
}

/** Starts a program; disposing ends it. */
export function startProgram(name: string, args: readonly string[], env: Record<string, string> = {}): RunningProgram {
  const child = new Deno.Command(name, { args: [...args], env, stdin: "null", stdout: "piped", stderr: "piped" })
    .spawn();
  let output = "";
  async function collect(stream: ReadableStream<Uint8Array>): Promise<void> {
    for await (const text of stream.pipeThrough(new TextDecoderStream())) output += text;
  }
  const ended = Promise.all([child.status, collect(child.stdout), collect(child.stderr)]);
  return {
    get output() {
      return output;
    },
    async [Symbol.asyncDispose]() {
      const timer = setTimeout(() => signal(child, "SIGKILL"), END_MS);
      signal(child, "SIGTERM");
      await ended;
      clearTimeout(timer);
    },
  };
}

function signal(child: Deno.ChildProcess, name: Deno.Signal): void {
  try {
    child.kill(name);
  } catch {
    // It has ended by itself.
  }
}
