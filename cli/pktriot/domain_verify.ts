import { delay } from "../../net/delay.ts";
import { CodedError } from "../../protocol/errors.ts";
import type { DomainState } from "../../protocol/request.ts";
import { CommandError } from "../command_error.ts";
import type { CommandContext } from "../command_context.ts";
import { loadConfig } from "../config_file.ts";
import { describeError } from "../describe_error.ts";
import { escapeText } from "../escape_text.ts";
import { parseDomain } from "../parse_domain.ts";
import { askServer } from "./ask_server.ts";
import { type ClientConfig, clientConfigSchema } from "./config.ts";
import { findConfig } from "./config_path.ts";
import { renderVerifiedDomain } from "./render_domains.ts";

/** Between two looks while somebody waits: resolvers remember that there was no record for longer than this. */
const LOOK_AGAIN_MS = 5_000;

/** Flags of `domain verify`. */
export interface DomainVerifyOptions {
  wait?: boolean;
  json?: boolean;
}

/** `pktriot domain verify`. @throws {CommandError} DOMAIN_NOT_VERIFIED, with what the server saw */
export async function domainVerify(context: CommandContext, name: string, options: DomainVerifyOptions): Promise<void> {
  const domain = parseDomain(name);
  const { value: config } = await loadConfig(await findConfig(context), clientConfigSchema);
  const state = options.wait === true ? await waitFor(context, config, domain) : await look(config, domain);
  if (options.json === true) context.io.print(JSON.stringify(state, null, 2));
  if (state.status !== "verified") throw notVerified(state);
  if (options.json !== true) context.io.print(renderVerifiedDomain(state));
}

function look(config: ClientConfig, domain: string): Promise<DomainState> {
  return askServer(config, (tunnel) => tunnel.request("domain.verify", { domain }));
}

/** Looks again and again; each new reason is told once. A server that restarts meanwhile is waited for too. */
async function waitFor({ io }: CommandContext, config: ClientConfig, domain: string): Promise<DomainState> {
  let told: string | undefined;
  for (;; await delay(LOOK_AGAIN_MS)) {
    let line: string;
    try {
      const state = await look(config, domain);
      if (state.status !== "pending") return state;
      line = escapeText(`Not yet: ${state.reason ?? "the record was not looked for"}`);
    } catch (error) {
      if (!(error instanceof CodedError) || error.kind !== "SERVER_UNREACHABLE" || told === undefined) throw error;
      line = describeError(error, { as: "warning" });
    }
    if (line !== told) io.report(line);
    told = line;
  }
}

function notVerified({ domain, status, reason, txt, unanswered }: DomainState): CommandError {
  const why = reason ?? "the server did not look";
  if (status === "expired") {
    return new CommandError("DOMAIN_NOT_VERIFIED", `${domain} is not verified: ${why}`, {
      fix: `The server has given up; \`pktriot domain add ${domain}\` begins anew.`,
    });
  }
  if (unanswered === true) {
    return new CommandError("DOMAIN_NOT_VERIFIED", `${domain} is not verified: ${why}`, {
      fix: "The record may be right: tell the operator that no resolver answers the server (`domains.resolvers`); " +
        "it goes on looking, and `--wait` waits for it.",
    });
  }
  const record = txt === undefined ? "the record" : `TXT ${txt.name} to ${txt.value}`;
  return new CommandError("DOMAIN_NOT_VERIFIED", `${domain} is not verified: ${why}`, {
    fix: `Set ${record}; the server goes on looking, and \`--wait\` waits for it.`,
  });
}
