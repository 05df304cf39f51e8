import type { CommandLine } from "../programs.ts";
import { SkipError } from "./row.ts";
import { runTool } from "./tools.ts";

const COMMAND_TIMEOUT_MS = 10_000;

/**
 * What a command line begins with whose program finds these names at 127.0.0.1: load generators send the name of the URL as SNI, and
 * not every system knows names below localhost. The program runs in a mount namespace of its own, with another `/etc/hosts`.
 * @throws {SkipError} when that is not possible here
 */
export async function withHosts(
  stack: AsyncDisposableStack,
  unshare: string,
  names: readonly string[],
): Promise<CommandLine> {
  const hosts = await Deno.makeTempFile({ prefix: "spokes-bench-hosts-" });
  stack.defer(() => Deno.remove(hosts));
  await Deno.writeTextFile(hosts, `127.0.0.1 localhost ${names.join(" ")}\n`);
  // Root needs no user namespace, and may not be allowed one.
  const flags = Deno.uid() === 0 ? "-m" : "-rm";
  const line: CommandLine = [unshare, flags, "sh", "-c", 'mount --bind "$0" /etc/hosts && exec "$@"', hosts];
  const [program, ...args] = line;
  try {
    await runTool(program, [...args, "true"], { timeoutMs: COMMAND_TIMEOUT_MS });
  } catch (error) {
    throw new SkipError(`names cannot be set for one program here: ${error instanceof Error ? error.message : error}`);
  }
  return line;
}
