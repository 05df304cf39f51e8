import { toCodedError } from "../../protocol/errors.ts";
import type { RuleState } from "../../protocol/message.ts";
import type { CommandContext } from "../command_context.ts";
import { loadConfig } from "../config_file.ts";
import { watchConfig } from "../config_watch.ts";
import { acmeOptionsOf } from "./acme_options.ts";
import { type ClientConfig, clientConfigSchema } from "./config.ts";
import { findConfig } from "./config_path.ts";
import { DoorStatus } from "./door_status.ts";
import {
  entryId,
  renderArrow,
  renderDefaultTable,
  renderHttpTable,
  renderInactive,
  renderTcpTable,
  renderWarnings,
} from "./render_rules.ts";
import { renderDoors, renderFailedDoors } from "./render_doors.ts";
import { type ServeContext, serveSession } from "./serve_session.ts";
import { serverAddressOf } from "./server_address.ts";
import { leadsTo } from "./target_columns.ts";
import { toClientDoors } from "./to_client_doors.ts";
import { toClientRules } from "./to_client_rules.ts";

/** `pktriot start`: publishes the rules of the configuration, opens its ways into the mesh, and follows its edits while it runs. */
export async function start(context: CommandContext, options: { takeover?: boolean }): Promise<void> {
  const path = await findConfig(context);
  const { value: config, stamp } = await loadConfig(path, clientConfigSchema);
  context.io.print("Connecting...");
  await using status = new DoorStatus(context, path);
  await serveSession(context, {
    ...serverAddressOf(config),
    token: config.tunnel.token,
    rules: toClientRules(config),
    doors: toClientDoors(config),
    acme: await acmeOptionsOf(context, path, config.acme),
    takeover: options.takeover === true,
    onDoors: (states) => status.tell(states),
  }, async (serve) => {
    const running = { hostname: serve.tunnel.hostname, states: await serve.firstStates };
    // They are open already: this asks what became of them.
    const doors = await serve.tunnel.setDoors(toClientDoors(config));
    context.io.print([
      ...renderRunning(config, running.hostname, running.states),
      ...renderDoors(config),
      ...renderFailedDoors(doors),
    ]);
    await followEdits(path, { config, stamp, serve });
  });
}

/** What `start` prints once it is connected. */
export function renderRunning(
  config: Pick<ClientConfig, "http" | "tcp">,
  hostname: string,
  states: readonly RuleState[],
): string[] {
  const { http, tcp } = config;
  const forwarded = tcp.filter(({ target }) => target !== undefined);
  const lines: string[] = [];
  const known = new Map(states.map((state) => [state.id, state]));
  if (http.length > 0) lines.push("Running HTTP services:", ...renderHttpTable(http, known));
  if (http.length + forwarded.length === 0) {
    lines.push("Running HTTP services:", ...renderDefaultTable(hostname, known));
  }
  if (forwarded.length > 0) lines.push("Running TCP services:", ...renderTcpTable(forwarded));
  return [...lines, ...states.flatMap((state) => renderState(config, state))];
}

function renderState({ http, tcp }: Pick<ClientConfig, "http" | "tcp">, state: RuleState): string[] {
  if (state.state === "inactive") return renderInactive([state]);
  const entry = http.find((rule) => entryId(rule) === state.id);
  const target = entry === undefined ? tcp.find((rule) => entryId(rule) === state.id)?.target : leadsTo(entry);
  return [renderArrow(state.address ?? state.id, target ?? "default page"), ...renderWarnings([state], http)];
}

interface Running {
  config: ClientConfig;
  stamp: string;
  serve: ServeContext;
}

async function followEdits(path: string, { config, stamp, serve }: Running): Promise<void> {
  const { log, ended } = serve;
  let applying: Promise<unknown> = Promise.resolve();
  for await (const event of watchConfig(path, { schema: clientConfigSchema, stamp, signal: ended })) {
    if (event.kind === "fault") {
      log.error("configuration not used", { code: event.error.code, reason: event.error.message, rules: "unchanged" });
      continue;
    }
    const { value } = event;
    if (identityOf(value) !== identityOf(config)) {
      log.warn("server, tunnel or acme of the configuration changed", { hint: "start again to use it" });
    }
    log.info("configuration changed", {
      ...{ http: value.http.length, tcp: value.tcp.length, ports: value.ports.length },
      proxies: Object.keys(value.proxies).length,
    });
    // Not awaited: without a connection it takes until there is one, and the next edit replaces it.
    applying = Promise.all([applying, applyRules(serve, value), serve.tunnel.setDoors(toClientDoors(value))]);
  }
  await applying;
}

async function applyRules({ publish, log, ended }: ServeContext, config: ClientConfig): Promise<void> {
  try {
    await publish(toClientRules(config));
  } catch (error) {
    // At the end the answer no longer matters.
    if (!ended.aborted) log.error("rules not applied", { reason: toCodedError(error).message });
  }
}

/** What counts from the next start on. */
function identityOf({ server, tunnel, acme }: ClientConfig): string {
  return JSON.stringify([server, tunnel.id, tunnel.token, acme]);
}
