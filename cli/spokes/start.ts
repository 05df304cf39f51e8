import { DEFAULT_SERVER_LIMITS } from "../../server/limits.ts";
import { serve, type SpokesServer } from "../../server/server.ts";
import { VERSION } from "../../protocol/version.ts";
import type { CommandContext } from "../command_context.ts";
import { formatHostPort } from "../parse_listen.ts";
import { CommandError } from "../command_error.ts";
import type { Log } from "../log.ts";
import { keepRunning } from "../keep_running.ts";
import { programLog } from "../program_log.ts";
import { stopSignals, whenAborted } from "../stop_signals.ts";
import { type LoadedServerConfig, loadServerConfig } from "./config_path.ts";
import { openFilesLimit } from "./open_files_limit.ts";
import { openState } from "./open_state.ts";
import { tokenState } from "./render_state.ts";
import { stateFolderOf, toServerOptions } from "./server_options.ts";
import { watchMesh, type WatchMeshOptions } from "./watch_mesh.ts";

/** Time for running streams when the configuration says nothing. */
const DEFAULT_DRAIN_MS = 30_000;
/** A visitor and its data channel. */
const FILES_PER_VISITOR = 2;
/** Store, listeners, control channels. */
const OTHER_FILES = 200;

/** `spokes start`: runs until a signal. The first lets running streams end, the second ends at once. */
export async function start(context: CommandContext): Promise<void> {
  const loaded = await loadServerConfig(context);
  const options = await toServerOptions(loaded);
  using signals = stopSignals();
  using log = programLog(context, loaded.config.log);
  using _running = keepRunning(log);
  log.info("starting", { version: VERSION, config: loaded.path, state: stateFolderOf(loaded) });
  await sayWhoMayConnect(loaded, log);
  await sayOpenFiles(options.limits?.visitors, log);
  await using server = await serve({ ...options, logger: log });
  log.info("ready", {
    domain: options.domain,
    http: formatHostPort(server.addresses.http),
    tls: formatHostPort(server.addresses.tls),
    admin: server.addresses.admin === undefined ? "off" : formatHostPort(server.addresses.admin),
    ...proxyPorts(server.addresses),
  });
  await followMesh(loaded, { server, log }, Promise.race([server.closed, whenAborted(signals.first)]));
  if (!signals.first.aborted) return;
  const graceMs = options.drainMs ?? DEFAULT_DRAIN_MS;
  log.info("stopping", { graceMs, hint: "again to stop at once" });
  await Promise.race([server.stop({ graceMs }), whenAborted(signals.second)]);
  if (signals.second.aborted) {
    await server.stop({ graceMs: 0 });
    throw new CommandError("SESSION_CLOSED", "Stopped at once: running streams were cut", { fix: "" });
  }
  log.info("stopped");
}

/** The ports of proxies into the mesh, where there are any. */
function proxyPorts({ socks, socksTls, connectTls }: SpokesServer["addresses"]): Record<string, string> {
  const open = Object.entries({ socks, socksTls, connectTls }).filter(([, address]) => address !== undefined);
  return Object.fromEntries(open.map(([port, address]) => [port, formatHostPort(address!)]));
}

/** Edits of the mesh count at once, as long as `running` has not settled. */
async function followMesh(
  loaded: LoadedServerConfig,
  parts: Pick<WatchMeshOptions, "server" | "log">,
  running: Promise<void>,
): Promise<void> {
  const ending = new AbortController();
  const watched = watchMesh(loaded, { ...parts, signal: ending.signal });
  try {
    await running;
  } finally {
    ending.abort();
    await watched;
  }
}

async function sayWhoMayConnect(loaded: LoadedServerConfig, log: Log): Promise<void> {
  await using opened = await openState(loaded);
  const now = Date.now();
  const tokens = await opened.state.enrolmentTokens.list();
  const valid = tokens.filter((token) => tokenState(token, now) === "valid").length;
  const tunnels = opened.state.tunnels.list().filter(({ parent }) => parent === undefined).length;
  log.info(`auth: on, ${valid} token${valid === 1 ? "" : "s"}, ${tunnels} tunnel${tunnels === 1 ? "" : "s"}`);
  if (valid + tunnels === 0) {
    log.warn("nobody can connect: there is no token and no tunnel", { hint: "spokes token create" });
  }
}

async function sayOpenFiles(visitors: number | undefined, log: Log): Promise<void> {
  const limit = await openFilesLimit();
  if (limit === undefined) return;
  const room = Math.max(0, Math.floor((limit - OTHER_FILES) / FILES_PER_VISITOR));
  const wanted = visitors ?? DEFAULT_SERVER_LIMITS.visitors;
  if (room >= wanted) return log.debug("open files", { limit });
  log.warn("the limit of open files is low", { limit, visitorsAtOnce: room, wanted, hint: "ulimit -n, LimitNOFILE=" });
}
