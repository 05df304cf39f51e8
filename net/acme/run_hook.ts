import { dirname } from "node:path";
import { AcmeError } from "./acme_error.ts";

/** One call of an operator's program. */
export interface HookCall {
  readonly path: string;
  readonly args: readonly string[];
  /** Set beside the environment of this process. */
  readonly env: Readonly<Record<string, string>>;
  readonly timeoutMs: number;
  /** Ends the program, and nothing else: who aborts looks at the signal afterwards. */
  readonly signal?: AbortSignal | undefined;
}

/** So much of what it says on standard error is kept, its end: there is the reason. */
const MAX_STDERR_BYTES = 4 * 1024;
/** A program that has ended may have left a child with its standard error. */
const STDERR_LINGER_MS = 1_000;
const WRITABLE_BY_OTHERS = 0o022;
const STICKY = 0o1000;

/**
 * Runs an operator's program without a shell, and gives the end of its standard error. It and its children are killed when the
 * time is over.
 * @throws {AcmeError} DNS_HOOK_FAILED
 */
export async function runHook(call: HookCall): Promise<string> {
  await checkHook(call.path);
  call.signal?.throwIfAborted();
  const child = spawn(call);
  let late = false;
  const timer = setTimeout(() => {
    late = true;
    kill(child);
  }, call.timeoutMs);
  const onAbort = () => kill(child);
  call.signal?.addEventListener("abort", onAbort, { once: true });
  const stderr = new Tail(child.stderr);
  try {
    const { code, signal } = await child.status;
    const said = await stderr.end();
    call.signal?.throwIfAborted();
    if (late) throw failed(call, `did not end within ${call.timeoutMs / 1000} s`, said);
    if (code !== 0) throw failed(call, signal === null ? `failed with code ${code}` : `was ended by ${signal}`, said);
    return said;
  } finally {
    clearTimeout(timer);
    call.signal?.removeEventListener("abort", onAbort);
  }
}

/**
 * Whether the program may be run: one that others can write to would give them our rights (security R15).
 * @throws {AcmeError} DNS_HOOK_FAILED
 */
export async function checkHook(path: string): Promise<void> {
  const fault = await faultOf(path);
  if (fault !== undefined) throw new AcmeError("DNS_HOOK_FAILED", `the DNS hook "${path}" cannot be run: ${fault}`);
}

async function faultOf(path: string): Promise<string | undefined> {
  try {
    const real = await Deno.realPath(path);
    const [file, folder] = await Promise.all([Deno.stat(real), Deno.stat(dirname(real))]);
    if (!file.isFile) return "it is not a file";
    if (Deno.build.os === "windows") return undefined;
    const mode = file.mode ?? 0;
    if ((mode & WRITABLE_BY_OTHERS) !== 0) return "group or others may write to it; run chmod go-w";
    if ((mode & 0o111) === 0) return "it is not executable; run chmod +x";
    // Also for root, who would run what another user wrote.
    if (file.uid !== 0 && file.uid !== Deno.uid()) return `it belongs to user ${file.uid}; run chown`;
    const open = (folder.mode ?? 0) & (0o002 | STICKY);
    return open === 0o002 ? "everybody may replace it in its folder; run chmod o-w on the folder" : undefined;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return "there is no such file";
    return error instanceof Error ? error.message : String(error);
  }
}

function spawn(call: HookCall): Deno.ChildProcess {
  try {
    return new Deno.Command(call.path, {
      args: [...call.args],
      env: { ...call.env },
      stdin: "null",
      stdout: "null",
      stderr: "piped",
      // A group of its own, so that what it has started can be ended with it.
      detached: Deno.build.os !== "windows",
    }).spawn();
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    const what = `the DNS hook "${call.path}" cannot be run: ${oneLine(reason)}; does its first line name a program?`;
    throw new AcmeError("DNS_HOOK_FAILED", what, { cause });
  }
}

function kill(child: Deno.ChildProcess): void {
  try {
    if (Deno.build.os === "windows") child.kill("SIGKILL");
    else Deno.kill(-child.pid, "SIGKILL");
  } catch {
    // It has ended by itself.
  }
}

function failed({ path, args }: HookCall, what: string, said: string): AcmeError {
  const reason = said === "" ? "it said nothing on standard error" : said;
  return new AcmeError("DNS_HOOK_FAILED", `the DNS hook ${what}: ${reason}; try ${[path, ...args].join(" ")}`);
}

function oneLine(text: string): string {
  return text.replaceAll(/[^\x20-\x7e]+/g, " ").trim();
}

/** The last bytes of a stream. */
class Tail {
  readonly #reader: ReadableStreamDefaultReader<Uint8Array>;
  readonly #collected: Promise<void>;
  #text = "";

  constructor(stream: ReadableStream<Uint8Array>) {
    this.#reader = stream.getReader();
    this.#collected = this.#collect();
  }

  /** What came, as one line; does not wait long for more. */
  async end(): Promise<string> {
    const timer = setTimeout(() => void this.#reader.cancel(), STDERR_LINGER_MS);
    await this.#collected;
    clearTimeout(timer);
    return oneLine(this.#text);
  }

  async #collect(): Promise<void> {
    const decoder = new TextDecoder();
    for (let { done, value } = await this.#reader.read(); !done; { done, value } = await this.#reader.read()) {
      this.#text = (this.#text + decoder.decode(value, { stream: true })).slice(-MAX_STDERR_BYTES);
    }
  }
}
