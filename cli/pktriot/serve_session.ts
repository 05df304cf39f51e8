import { connect, type Tunnel } from "../../client/client.ts";
import type { DoorState } from "../../client/doors/door.ts";
import type { ClientEvent, ClientRule, ConnectOptions } from "../../client/options.ts";
import { toCodedError } from "../../protocol/errors.ts";
import type { RuleState, Welcome } from "../../protocol/message.ts";
import { CommandError } from "../command_error.ts";
import type { CommandContext } from "../command_context.ts";
import type { Log } from "../log.ts";
import { escapeText } from "../escape_text.ts";
import { keepRunning } from "../keep_running.ts";
import { programLog } from "../program_log.ts";
import { DoorLog } from "./door_log.ts";
import { publicHttpsAddress } from "./public_address.ts";
import { stopSignals, whenAborted } from "../stop_signals.ts";

/** How long running streams may go on after the first signal, as the server's default. */
const DRAIN_MS = 30_000;

/** A connected tunnel and what runs beside it. */
export interface ServeContext {
  readonly tunnel: Tunnel;
  readonly log: Log;
  /** Aborted when the tunnel ends, for whatever reason. */
  readonly ended: AbortSignal;
  /** What became of each rule, as the server says first; empty when the tunnel ends before. */
  readonly firstStates: Promise<readonly RuleState[]>;
  /** Publishes these rules in place of the former. */
  publish(rules: readonly ClientRule[]): Promise<readonly RuleState[]>;
}

/** What {@link serveSession} takes. */
export interface ServeSessionOptions extends Omit<ConnectOptions, "onEvent" | "signal" | "logger"> {
  /** Unless the flags say otherwise. @default "info" */
  logLevel?: "info" | "warn";
  /** Told of all doors when one has changed. */
  onDoors?: (states: readonly DoorState[]) => void;
}

/**
 * Serves until a signal or the end of the tunnel. The first signal lets running streams finish, the second ends at once.
 * `whileConnected` runs beside the tunnel and returns when `ended` aborts, or throws to end it.
 * @throws {CodedError} why the tunnel ended, when nobody asked for it.
 */
export async function serveSession(
  context: CommandContext,
  options: ServeSessionOptions,
  whileConnected: (serve: ServeContext) => Promise<void>,
): Promise<void> {
  using signals = stopSignals();
  const { logLevel = "info", onDoors, ...connectOptions } = options;
  using log = programLog(context, { level: logLevel });
  using _running = keepRunning(log);
  const first = Promise.withResolvers<readonly RuleState[]>();
  const known = new Map<string, RuleState>();
  const doors = new DoorLog(log);
  let server: Welcome["server"] | undefined;
  function onEvent(event: ClientEvent): void {
    logEvent(event, { log, known, doors });
    if (event.kind === "connected") server = event.welcome.server;
    if (event.kind === "rules") first.resolve(event.states);
    if (event.kind === "doors") onDoors?.(event.states);
    if (event.kind !== "certificate" || event.notAfter === undefined) return;
    context.io.print(renderReady(publicHttpsAddress(event.domain, server ?? { tlsPort: 443 }), event.notAfter));
  }
  const tunnel = await connectUntil(signals.first, { ...connectOptions, onEvent, logger: log });
  if (tunnel === undefined) return;
  const ended = new AbortController();
  ended.signal.addEventListener("abort", () => first.resolve([]), { once: true });
  const beside = whileConnected({
    ...{ tunnel, log, ended: ended.signal, firstStates: first.promise },
    async publish(rules) {
      const states = await tunnel.setRules(rules);
      const now = new Set(states.map(({ id }) => id));
      // Forgotten, so that a rule that comes again is told of again.
      for (const id of known.keys()) if (!now.has(id)) known.delete(id);
      return states;
    },
  });
  // Its failure ends the tunnel; when it is done early the tunnel goes on.
  const failed = beside.then(() => tunnel.closed, (error) => toCodedError(error));
  const asked = whenAborted(signals.first).then(() => undefined);
  const reason = await Promise.race([tunnel.closed, failed, asked]);
  ended.abort();
  if (signals.first.aborted) await drain(tunnel, log, signals.second);
  else await tunnel.stop({ graceMs: 0 });
  await beside.catch(() => {/* it is the reason already */});
  if (signals.first.aborted) log.info("stopped");
  if (reason !== undefined) throw reason;
}

/** Connects, or gives `undefined` when a signal came first. Later the signal must not end the tunnel: it is to drain. */
async function connectUntil(signal: AbortSignal, options: ConnectOptions): Promise<Tunnel | undefined> {
  const dialing = new AbortController();
  const abort = (): void => dialing.abort();
  signal.addEventListener("abort", abort, { once: true });
  try {
    return await connect({ ...options, signal: dialing.signal });
  } catch (error) {
    if (signal.aborted) return undefined;
    throw error;
  } finally {
    signal.removeEventListener("abort", abort);
  }
}

async function drain(tunnel: Tunnel, log: Log, second: AbortSignal): Promise<void> {
  log.info("stopping", { graceMs: DRAIN_MS, hint: "again to stop at once" });
  const stopped = tunnel.stop({ graceMs: DRAIN_MS });
  await Promise.race([stopped, whenAborted(second)]);
  if (second.aborted) {
    throw new CommandError("SESSION_CLOSED", "Stopped at once: running streams were cut", { fix: "" });
  }
}

function logEvent(
  event: ClientEvent,
  { log, known, doors }: { log: Log; known: Map<string, RuleState>; doors: DoorLog },
): void {
  switch (event.kind) {
    case "connecting":
    case "connected":
    case "disconnected":
    case "certificate":
      // The client logs these itself.
      return;
    case "rules":
      return logRules(log, event.states, known);
    case "doors":
      return doors.tell(event.states);
    case "notice":
      return log[event.level]("notice", { code: event.code, message: event.message });
    case "draining":
      return log.info("server is stopping", { graceMs: event.graceMs });
    default:
      return event satisfies never;
  }
}

/** What a person waits for after `--letsencrypt`. */
export function renderReady(address: string, notAfter: string): string {
  return escapeText(`${address} is ready, certificate until ${notAfter.slice(0, "2026-01-31".length)}`);
}

/** Only what is different from before: the same states come again with each reconnect, and changed ones by themselves. */
function logRules(log: Log, states: readonly RuleState[], known: Map<string, RuleState>): void {
  for (const state of states) {
    const last = known.get(state.id);
    known.set(state.id, state);
    if (last?.state === state.state && last.code === state.code && last.address === state.address) continue;
    const { code, message: reason } = state;
    if (state.state === "active" && reason !== undefined) {
      log.warn("rule has a fault", { rule: state.id, code, reason });
    } else if (state.state === "active") log.info("rule active", { rule: state.id, address: state.address });
    else log.warn("rule inactive", { rule: state.id, code: state.code, reason: state.message });
  }
}
