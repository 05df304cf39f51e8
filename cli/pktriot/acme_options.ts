import { dirname, join, resolve } from "node:path";
import type { ClientAcmeOptions } from "../../client/options.ts";
import { acmeDirectory } from "../../net/acme/acme_directories.ts";
import type { CommandContext } from "../command_context.ts";
import { escapeText } from "../escape_text.ts";
import type { AcmeEntry } from "./config.ts";

/**
 * How the client gets certificates. A root certificate that cannot be read is reported and left out: the authority is then
 * not trusted, rules that need a certificate stay closed, and all others run.
 */
export async function acmeOptionsOf(
  context: CommandContext,
  configPath: string,
  { directory, email, ca }: AcmeEntry = {},
): Promise<ClientAcmeOptions> {
  const url = directory === undefined ? undefined : acmeDirectory(directory);
  const root = ca === undefined ? undefined : await readRoot(context, resolve(dirname(configPath), ca));
  return {
    folder: join(stateFolder(context, configPath), "acme"),
    ...(url === undefined ? {} : { directory: url }),
    ...(email === undefined ? {} : { email }),
    ...(root === undefined ? {} : { ca: root }),
  };
}

/** Where the client may write: the place that is named, else what systemd made for the service, else beside the configuration. */
export function stateFolder({ io }: CommandContext, configPath: string): string {
  const [ofService] = io.env("STATE_DIRECTORY")?.split(":") ?? [];
  return resolve(io.env("PKTRIOT_STATE") || ofService || dirname(configPath));
}

async function readRoot({ io }: CommandContext, path: string): Promise<string | undefined> {
  try {
    return await Deno.readTextFile(path);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    io.report(escapeText(`warning: acme.ca: ${path} cannot be read, so its authority is not trusted: ${reason}`));
    return undefined;
  }
}
