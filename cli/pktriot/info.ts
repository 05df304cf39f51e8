import type { RuleState } from "../../protocol/message.ts";
import { describeError } from "../describe_error.ts";
import type { CommandContext } from "../command_context.ts";
import { loadConfig } from "../config_file.ts";
import { escapeText } from "../escape_text.ts";
import { parseHostPort } from "../parse_listen.ts";
import { timeText } from "../time_text.ts";
import { askServer } from "./ask_server.ts";
import { type ClientConfig, clientConfigSchema } from "./config.ts";
import { findConfig } from "./config_path.ts";
import { readDoorStates } from "./door_status.ts";
import { jsonOfRule, type LiveStates, requestStates, statesOf } from "./live_states.ts";
import { jsonOfPorts } from "./ports_ls.ts";
import { jsonOfProxies } from "./proxies_ls.ts";
import { type DoorStates, renderDoors, renderFailedOf } from "./render_doors.ts";
import { renderDefaultTable, renderRules } from "./render_rules.ts";
import { toClientDoors } from "./to_client_doors.ts";

/** `info` shows what is at hand; the server gets this long to add to it. */
const SERVER_TIMEOUT_MS = 3_000;

/** What `info` knows; `--json` prints it, with the states of the rules. */
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
  ports: ClientConfig["ports"];
  proxies: ClientConfig["proxies"];
  /** What became of port maps and proxies; absent unless a `start` runs here. */
  doors?: DoorStates;
}

/** What the server adds: whether the tunnel runs, and what became of its rules. */
interface Answer {
  status: NonNullable<InfoState["status"]>;
  live: LiveStates;
}

/** `pktriot info`. */
export async function info(context: CommandContext, options: { json?: boolean; offline?: boolean }): Promise<void> {
  const path = await findConfig(context);
  const { value: config } = await loadConfig(path, clientConfigSchema);
  const { live, ...known } = options.offline === true ? localState(config) : await fullState(config);
  const state: InfoState = { ...known, doors: await readDoorStates(context, path) };
  context.io.print(options.json === true ? toJson(state, live) : renderInfo(state, statesOf(live)));
}

function localState({ tunnel, server, http, tcp, ports, proxies }: ClientConfig): InfoState & { live: LiveStates } {
  const { hostname, name } = tunnel;
  return { ...{ hostname, name, server: server.address, http, tcp, ports, proxies }, live: { kind: "unknown" } };
}

async function fullState(config: ClientConfig): Promise<InfoState & { live: LiveStates }> {
  const [ip, answer] = await Promise.all([resolveServer(config.server.address), ask(config)]);
  return { ...localState(config), ...(ip === undefined ? {} : { ip }), ...answer };
}

async function ask(config: ClientConfig): Promise<Answer> {
  try {
    return await askServer(config, async (tunnel): Promise<Answer> => {
      const [{ serving }, live] = await Promise.all([
        tunnel.request("tunnel.info", {}),
        // A server of an older version does not know the request; the rest of its answer is good.
        requestStates(tunnel).catch((): LiveStates => ({ kind: "unknown" })),
      ]);
      return { status: serving === undefined ? { kind: "stopped" } : { kind: "running", ...serving }, live };
    }, { timeoutMs: SERVER_TIMEOUT_MS });
  } catch (error) {
    return { status: { kind: "unknown", reason: describeError(error) }, live: { kind: "unknown" } };
  }
}

function toJson({ http, tcp, ports, proxies, doors, ...state }: InfoState, live: LiveStates): string {
  const [httpRules, tcpRules] = [http, tcp].map((entries) => entries.map((entry) => jsonOfRule(entry, live)));
  const ways = { ports: jsonOfPorts(ports, doors), proxies: jsonOfProxies(proxies, doors) };
  return JSON.stringify({ ...state, http: httpRules, tcp: tcpRules, ...ways }, null, 2);
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
export function renderInfo(state: InfoState, states: ReadonlyMap<string, RuleState> = new Map()): string[] {
  const rules = renderRules(state, states);
  const failed = renderFailedOf(toClientDoors(state), state.doors);
  const doors = [...renderDoors(state, state.doors), ...failed];
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
      : ["There are no rules; `start` shows a default page:", ...renderDefaultTable(state.hostname, states)]),
    ...(doors.length > 0 ? ["", ...doors] : []),
  ];
}

function renderStatus(status: NonNullable<InfoState["status"]>): string {
  switch (status.kind) {
    case "running":
      return escapeText(`running on ${status.host} since ${timeText(status.since)}`);
    case "stopped":
      return "not running";
    case "unknown":
      return `unknown, ${status.reason}`;
    default:
      return status satisfies never;
  }
}
