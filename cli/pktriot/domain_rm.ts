import { CodedError } from "../../protocol/errors.ts";
import type { CommandContext } from "../command_context.ts";
import { CommandError } from "../command_error.ts";
import { loadConfig } from "../config_file.ts";
import { parseDomain } from "../parse_domain.ts";
import { askServer } from "./ask_server.ts";
import { clientConfigSchema } from "./config.ts";
import { findConfig } from "./config_path.ts";

/** `pktriot domain rm`. */
export async function domainRm(context: CommandContext, name: string): Promise<void> {
  const domain = parseDomain(name);
  const { value: config } = await loadConfig(await findConfig(context), clientConfigSchema);
  try {
    await askServer(config, (tunnel) => tunnel.request("domain.remove", { domain }));
  } catch (cause) {
    if (!(cause instanceof CodedError) || cause.kind !== "DOMAIN_NOT_VERIFIED") throw cause;
    throw new CommandError(cause.kind, `"${domain}" is not a domain of this tunnel`, {
      cause,
      fix: "List its domains with `pktriot domain ls`.",
    });
  }
  context.io.print(`Domain ${domain} removed`);
}
