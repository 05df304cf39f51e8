/** How a program is started. */
export interface StartOptions {
  readonly args: readonly string[];
  readonly cwd?: string;
  readonly env?: Record<string, string>;
  /** Called for every line of both outputs, without its end. */
  readonly onLine?: (line: string) => void;
}

/** A program that ignores a polite request for so long is killed. */
const STOP_TIMEOUT_MS = 5_000;
/** Enough of the last output to see why a program failed. */
const MAX_KEPT_LINES = 200;

/** A program of our own: its lines can be waited for, and disposing ends it in bounded time. */
export class ChildProcess implements AsyncDisposable {
  /** Settles with the exit code when it has ended and all its lines were seen. */
  readonly ended: Promise<number>;
  readonly #child: Deno.ChildProcess;
  readonly #lines: string[] = [];
  readonly #name: string;
  #hasEnded = false;
  #onLine = Promise.withResolvers<void>();

  constructor(name: string, child: Deno.ChildProcess, onLine: ((line: string) => void) | undefined) {
    this.#name = name;
    this.#child = child;
    this.ended = this.#run(onLine);
  }

  /** Starts a program in a process group of its own, so that a Ctrl-C in the terminal is passed on by us, in order. */
  static start(program: string, options: StartOptions): ChildProcess {
    const child = new Deno.Command(program, {
      args: [...options.args],
      ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
      env: { NO_COLOR: "1", ...options.env },
      stdin: "null",
      stdout: "piped",
      stderr: "piped",
      detached: Deno.build.os !== "windows",
    }).spawn();
    return new ChildProcess(program, child, options.onLine);
  }

  get pid(): number {
    return this.#child.pid;
  }

  /** The last lines of output. */
  get output(): string {
    return this.#lines.join("\n");
  }

  /** The first line (seen or to come) that matches. @throws {Error} when the program ends, or the time is over, before */
  async line(pattern: RegExp, options: { timeoutMs?: number } = {}): Promise<RegExpExecArray> {
    const { timeoutMs = 30_000 } = options;
    const deadline = Promise.withResolvers<void>();
    const timer = setTimeout(deadline.resolve, timeoutMs);
    let late = false;
    void deadline.promise.then(() => late = true);
    try {
      while (true) {
        const next = this.#onLine.promise;
        for (const line of this.#lines) {
          const match = pattern.exec(line);
          if (match !== null) return match;
        }
        if (this.#hasEnded) throw new Error(`Cannot go on as ${this.#name} has ended:\n${this.output}`);
        if (late) {
          throw new Error(`Cannot go on as ${this.#name} did not say ${pattern} in ${timeoutMs} ms:\n${this.output}`);
        }
        await Promise.race([next, deadline.promise]);
      }
    } finally {
      clearTimeout(timer);
    }
  }

  /** Sends a signal, unless it has ended. */
  kill(signal: Deno.Signal): void {
    if (this.#hasEnded) return;
    try {
      this.#child.kill(signal);
    } catch {
      // It has ended just now.
    }
  }

  /** Asks it to end, insists after a while, and gives the exit code. */
  async stop(options: { timeoutMs?: number } = {}): Promise<number> {
    this.kill("SIGTERM");
    const timer = setTimeout(() => this.kill("SIGKILL"), options.timeoutMs ?? STOP_TIMEOUT_MS);
    try {
      return await this.ended;
    } finally {
      clearTimeout(timer);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  async #run(onLine: ((line: string) => void) | undefined): Promise<number> {
    const take = (line: string): void => {
      if (this.#lines.push(line) > MAX_KEPT_LINES) this.#lines.shift();
      onLine?.(line);
      this.#wake();
    };
    const { stdout, stderr, status } = this.#child;
    const [{ code }] = await Promise.all([status, eachLine(stdout, take), eachLine(stderr, take)]);
    this.#hasEnded = true;
    this.#wake();
    return code;
  }

  #wake(): void {
    this.#onLine.resolve();
    this.#onLine = Promise.withResolvers();
  }
}

async function eachLine(stream: ReadableStream<Uint8Array>, take: (line: string) => void): Promise<void> {
  let rest = "";
  for await (const text of stream.pipeThrough(new TextDecoderStream())) {
    const lines = (rest + text).split("\n");
    rest = lines.pop() ?? "";
    lines.forEach(take);
  }
  if (rest !== "") take(rest);
}
