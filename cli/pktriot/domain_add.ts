import { CodedError } from "../../protocol/errors.ts";
import type { DomainPointing, DomainState } from "../../protocol/request.ts";
import type { CommandContext } from "../command_context.ts";
import { CommandError } from "../command_error.ts";
import { loadConfig } from "../config_file.ts";
import { parseDomain } from "../parse_domain.ts";
import { askServer } from "./ask_server.ts";
import { type ClientConfig, clientConfigSchema } from "./config.ts";
import { findConfig } from "./config_path.ts";
import { renderAddedDomain } from "./render_domains.ts";

/** `pktriot domain add`: what to set in the DNS. */
export async function domainAdd(context: CommandContext, name: string, options: { json?: boolean }): Promise<void> {
  const domain = parseDomain(name);
  const { value: config } = await loadConfig(await findConfig(context), clientConfigSchema);
  const added = await request(config, domain);
  context.io.print(options.json === true ? JSON.stringify(added, null, 2) : renderAddedDomain(added));
}

async function request(config: ClientConfig, domain: string): Promise<DomainState & { pointing: DomainPointing }> {
  try {
    return await askServer(config, (tunnel) => tunnel.request("domain.add", { domain }));
  } catch (cause) {
    if (!(cause instanceof CodedError) || cause.kind !== "NAME_NOT_ALLOWED") throw cause;
    // Why no proof is wanted or taken says what to do as well.
    throw new CommandError(cause.kind, cause.message, { cause, fix: "" });
  }
}
