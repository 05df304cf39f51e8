import type { Tunnel } from "../../client/client.ts";
import type { RuleState } from "../../protocol/message.ts";
import { describeError } from "../describe_error.ts";
import { MASK } from "../redact.ts";
import type { ClientConfig, HttpEntry, TcpEntry } from "./config.ts";
import { entryId } from "./render_rules.ts";

/** Lists show what is at hand; the server gets this long to add to it. */
const SERVER_TIMEOUT_MS = 3_000;

/** What the server says of the rules. */
export type LiveStates =
  | { kind: "running"; states: ReadonlyMap<string, RuleState> }
  | { kind: "stopped" }
  /** Not asked, or it did not answer; `reason` is one line for a person. */
  | { kind: "unknown"; reason?: string };

/** Asks the server what became of the rules that it publishes now. Never rejects. */
export async function askStates(config: ClientConfig): Promise<LiveStates> {
  try {
    // A list that asks nobody starts at once.
    const { askServer } = await import("./ask_server.ts");
    return await askServer(config, requestStates, { timeoutMs: SERVER_TIMEOUT_MS });
  } catch (error) {
    return { kind: "unknown", reason: describeError(error, { as: "warning" }) };
  }
}

/** The same over a session that is there. @throws {CodedError} UNKNOWN_METHOD of a server of an older version */
export async function requestStates(tunnel: Tunnel): Promise<LiveStates> {
  const { states } = await tunnel.request("rule.states", {});
  if (states === undefined) return { kind: "stopped" };
  return { kind: "running", states: new Map(states.map((state) => [state.id, state])) };
}

/** The states of {@link LiveStates}, none when they are not known. */
export function statesOf(live: LiveStates): ReadonlyMap<string, RuleState> {
  return live.kind === "running" ? live.states : new Map();
}

/** A rule for `--json`: as it is configured, without what passwords are checked against, and with its state if that is known. */
export function jsonOfRule(entry: HttpEntry | TcpEntry, live: LiveStates): Record<string, unknown> {
  const users = "basicAuth" in entry ? entry.basicAuth?.map(({ user }) => ({ user, hash: MASK })) : undefined;
  return { ...entry, ...(users === undefined ? {} : { basicAuth: users }), ...stateFields(entry, live) };
}

function stateFields(
  entry: HttpEntry | TcpEntry,
  live: LiveStates,
): Partial<Omit<RuleState, "id" | "state">> & { state?: string } {
  if (live.kind === "stopped") return { state: "stopped" };
  const { id: _, ...fields } = statesOf(live).get(entryId(entry)) ?? {};
  return fields;
}
