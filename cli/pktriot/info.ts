import { describeError } from "../describe_error.ts";
import type { CommandContext } from "../command_context.ts";
import { loadConfig } from "../config_file.ts";
import { escapeText } from "../escape_text.ts";
import { parseHostPort } from "../parse_listen.ts";
import { askServer } from "./ask_server.ts";
import { type ClientConfig, clientConfigSchema } from "./config.ts";
import { findConfig } from "./config_path.ts";
import { renderDefaultTable, renderRules } from "./render_rules.ts";

/** `info` shows what is at hand; the server gets this long to add to it. */
const SERVER_TIMEOUT_MS = 3_000;

/** What `info` knows; `--json` prints it as it is. */
export interface InfoState {
  hostname: string;
  name: string;
  server: string;
  /** Absent when the name does not resolve. */
  ip?: string;
  /** What the server says, absent when it was not asked. */
  status?: { kind: "running"; host: string; since: string } | { kind: "stopped" } | { kind: "unknown"; reason: string };
  http: ClientConfig["http"];
  tcp: ClientConfig["tcp"];
}

/** `pktriot info`. */
export async function info(context: CommandContext, options: { json?: boolean; offline?: boolean }): Promise<void> {
  const { value: config } = await loadConfig(await findConfig(context), clientConfigSchema);
  const state = options.offline === true ? localState(config) : await fullState(config);
  context.io.print(options.json === true ? JSON.stringify(state, null, 2) : renderInfo(state));
}

function localState({ tunnel, server, http, tcp }: ClientConfig): InfoState {
  return { hostname: tunnel.hostname, name: tunnel.name, server: server.address, http, tcp };
}

async function fullState(config: ClientConfig): Promise<InfoState> {
  const [ip, status] = await Promise.all([resolveServer(config.server.address), askStatus(config)]);
  return { ...localState(config), ...(ip === undefined ? {} : { ip }), status };
}

async function askStatus(config: ClientConfig): Promise<NonNullable<InfoState["status"]>> {
  try {
    const { serving } = await askServer(config, (tunnel) => tunnel.request("tunnel.info", {}), {
      timeoutMs: SERVER_TIMEOUT_MS,
    });
    return serving === undefined ? { kind: "stopped" } : { kind: "running", ...serving };
  } catch (error) {
    return { kind: "unknown", reason: describeError(error) };
  }
}

async function resolveServer(address: string): Promise<string | undefined> {
  const host = parseHostPort(address)?.hostname ?? address;
  const { lookup } = await import("node:dns/promises");
  try {
    return (await lookup(host)).address;
  } catch {
    // The block then has no IP, which says it all.
    return undefined;
  }
}

/** The block of `info`, then the tables. */
export function renderInfo(state: InfoState): string[] {
  const rules = renderRules(state);
  return [
    "Client:",
    `  Hostname: ${escapeText(state.hostname)}`,
    `  Server: ${escapeText(state.server)}`,
    `  IP: ${escapeText(state.ip ?? "--")}`,
    `  Name: ${escapeText(state.name)}`,
    ...(state.status === undefined ? [] : [`  Status: ${renderStatus(state.status)}`]),
    "",
    ...(rules.length > 0
      ? rules
      : ["There are no rules; `start` shows a default page:", ...renderDefaultTable(state.hostname)]),
  ];
}

function renderStatus(status: NonNullable<InfoState["status"]>): string {
  switch (status.kind) {
    case "running":
      return escapeText(`running on ${status.host} since ${status.since}`);
    case "stopped":
      return "not running";
    case "unknown":
      return `unknown, ${status.reason}`;
    default:
      return status satisfies never;
  }
}
