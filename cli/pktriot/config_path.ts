import { join } from "node:path";
import { CommandError } from "../command_error.ts";
import type { CommandContext } from "../command_context.ts";

/** Where the configuration of a machine's service is. */
export const SYSTEM_CONFIG_PATH = "/etc/pktriot/config.json";

/** `~/.pktriot/config.json`, or `undefined` when there is no home (a container, a service). */
export function homeConfigPath(context: CommandContext): string | undefined {
  const home = context.io.env("HOME") || context.io.env("USERPROFILE");
  return home ? join(home, ".pktriot", "config.json") : undefined;
}

/** `--config` (or its environment variable), or `undefined`. */
export function givenConfigPath(context: CommandContext): string | undefined {
  return context.global.config || undefined;
}

/**
 * The configuration in use: the one given, else the first of the two places that exists.
 * @throws {CommandError} CONFIG_MISSING
 */
export async function findConfig(context: CommandContext): Promise<string> {
  const given = givenConfigPath(context);
  if (given !== undefined) return given;
  const places = [homeConfigPath(context), SYSTEM_CONFIG_PATH].filter((path) => path !== undefined);
  for (const path of places) {
    if (await mayExist(path)) return path;
  }
  throw new CommandError("CONFIG_MISSING", `This machine is not configured: there is no ${places.join(" and no ")}`, {
    fix: "Run `pktriot configure INVITE` with the invite that the server printed, or name a file with --config.",
  });
}

/** A place that cannot even be looked into counts: using the next one instead would be a surprise. */
async function mayExist(path: string): Promise<boolean> {
  try {
    await Deno.stat(path);
    return true;
  } catch (error) {
    return !(error instanceof Deno.errors.NotFound || error instanceof Deno.errors.NotADirectory);
  }
}
