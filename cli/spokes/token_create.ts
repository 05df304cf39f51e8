import type { CreateEnrolmentTokenOptions } from "../../server/state/enrolment_tokens.ts";
import type { Grants } from "../../server/state/grants.ts";
import type { CommandContext } from "../command_context.ts";
import { usageError } from "../command_error.ts";
import { parseDuration } from "../parse_duration.ts";
import { parsePortRange } from "../parse_port_range.ts";
import { timeText } from "../time_text.ts";
import { loadServerConfig } from "./config_path.ts";
import { inviteFor } from "./invite_for.ts";
import { openState } from "./open_state.ts";
import { tokenFacts } from "./render_state.ts";

/** Flags of `token create`. */
export interface TokenCreateOptions {
  expires?: string;
  uses?: string;
  owner?: string;
  tag?: string[];
  domain?: string[];
  ports?: string[];
  maxNames?: string;
  maxPorts?: string;
  json?: boolean;
}

/** `spokes token create`: prints an invite, which cannot be shown again. */
export async function tokenCreate(context: CommandContext, options: TokenCreateOptions): Promise<void> {
  const wanted = parseOptions(options);
  const loaded = await loadServerConfig(context);
  await using opened = await openState(loaded);
  const { token, record } = await opened.state.enrolmentTokens.create(wanted);
  const invite = await inviteFor(loaded, token);
  if (options.json === true) {
    return context.io.print(JSON.stringify({ ...tokenFacts(record, Date.now()), invite }, null, 2));
  }
  context.io.print([
    invite,
    "",
    `Token ${record.id}, owner ${record.owner}, ${record.uses ?? "unlimited"} use${record.uses === 1 ? "" : "s"}, ` +
    `expires ${record.expiresAt === null ? "never" : timeText(record.expiresAt)}.`,
    "On the other machine: pktriot configure INVITE",
  ]);
}

function parseOptions(options: TokenCreateOptions): CreateEnrolmentTokenOptions {
  const { expires, uses, owner, tag = [] } = options;
  return {
    tags: tag,
    grants: parseGrants(options),
    ...(owner === undefined ? {} : { owner }),
    ...(expires === undefined ? {} : { expiresInMs: expires === "never" ? null : parseExpiry(expires) }),
    ...(uses === undefined ? {} : { uses: uses === "unlimited" ? null : parseCount(uses, "--uses") }),
  };
}

function parseGrants({ domain, ports, maxNames, maxPorts }: TokenCreateOptions): Partial<Grants> {
  return {
    ...(domain === undefined ? {} : { domains: domain.map((name) => name.toLowerCase()) }),
    ...(ports === undefined ? {} : { ports: ports.map(parseRange) }),
    ...(maxNames === undefined ? {} : { maxNames: parseCount(maxNames, "--max-names") }),
    ...(maxPorts === undefined ? {} : { maxPorts: parseCount(maxPorts, "--max-ports") }),
  };
}

function parseExpiry(text: string): number {
  const ms = parseDuration(text);
  if (ms === undefined || ms === 0) {
    throw usageError(`"${text}" is not a time`, { fix: "Write for example --expires 24h, 7d or never." });
  }
  return ms;
}

function parseRange(text: string): { from: number; to: number } {
  const range = parsePortRange(text);
  if (range === undefined) {
    throw usageError(`"${text}" is not a range of ports`, { fix: "Write for example --ports 22100-22199." });
  }
  return range;
}

function parseCount(text: string, flag: string): number {
  if (!/^[0-9]{1,9}$/.test(text)) {
    throw usageError(`"${text}" is not a number`, { fix: `Give ${flag} a whole number.` });
  }
  return Number(text);
}
