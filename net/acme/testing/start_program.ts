/** A program that was asked to end is killed after this time. */
const END_MS = 5_000;

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
