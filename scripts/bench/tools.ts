/** A load generator or a target that must be installed. */
export type Tool =
  | ("wrk" | "iperf3" | "nginx" | "openssl" | "ip" | "python3" | "unshare")
  | ("redis-server" | "redis-benchmark" | "proxychains4");

/** Where administrators' programs are that may not be on a user's PATH. */
const EXTRA_FOLDERS = ["/usr/sbin", "/sbin", "/usr/local/sbin"];

/** The path of a program, or `undefined` when it is not installed. */
export async function findTool(name: Tool): Promise<string | undefined> {
  const folders = (Deno.env.get("PATH") ?? "").split(":");
  for (const folder of [...folders, ...EXTRA_FOLDERS]) {
    try {
      if ((await Deno.stat(`${folder}/${name}`)).isFile) return `${folder}/${name}`;
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound || error instanceof Deno.errors.NotADirectory)) throw error;
    }
  }
  return undefined;
}

/** Runs a program to its end and gives what it printed. @throws {Error} when it fails or the time is over */
export async function runTool(
  program: string,
  args: readonly string[],
  options: { timeoutMs: number; cwd?: string; mayFail?: boolean },
): Promise<string> {
  const { timeoutMs, cwd, mayFail = false } = options;
  const command = new Deno.Command(program, {
    args: [...args],
    ...(cwd === undefined ? {} : { cwd }),
    stdin: "null",
    signal: AbortSignal.timeout(timeoutMs),
  });
  const { success, stdout, stderr } = await command.output();
  const decoder = new TextDecoder();
  const text = decoder.decode(stdout);
  if (!success && !mayFail) {
    throw new Error(`Cannot use ${program} ${args.join(" ")}: ${decoder.decode(stderr)}${text}`);
  }
  return text;
}
