import { dirname, resolve } from "node:path";
import { CommandError } from "../command_error.ts";
import type { CommandContext } from "../command_context.ts";
import { loadConfig } from "../config_file.ts";
import { type ServerConfig, serverConfigSchema } from "./config.ts";

/** Tried in this order when `--config` is not given. */
const CONFIG_PLACES = ["spokes.yaml", "/etc/spokes/spokes.yaml"] as const;

/** A configuration and where it is: paths in it are relative to that folder. */
export interface LoadedServerConfig {
  path: string;
  folder: string;
  config: ServerConfig;
  /** Of the file as it was read; absent when it was not. */
  stamp?: string;
}

/** Reads the configuration that is meant. @throws {CodedError} CONFIG_MISSING, CONFIG_UNSAFE, CONFIG_INVALID */
export async function loadServerConfig(context: CommandContext): Promise<LoadedServerConfig> {
  const path = await findConfig(context);
  const { value: config, stamp } = await loadConfig(path, serverConfigSchema);
  return { path, folder: dirname(resolve(path)), config, stamp };
}

async function findConfig(context: CommandContext): Promise<string> {
  const given = context.global.config;
  if (given) return given;
  for (const path of CONFIG_PLACES) {
    if (await exists(path)) return path;
  }
  throw new CommandError("CONFIG_MISSING", `There is no configuration: neither ${CONFIG_PLACES.join(" nor ")} exists`, {
    fix: "Run `spokes init --domain D` first, or name a file with --config.",
  });
}

async function exists(path: string): Promise<boolean> {
  try {
    await Deno.stat(path);
    return true;
  } catch (error) {
    return !(error instanceof Deno.errors.NotFound || error instanceof Deno.errors.NotADirectory);
  }
}
