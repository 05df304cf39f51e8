import type { CommandContext } from "../command_context.ts";
import { usageError } from "../command_error.ts";
import { editConfig } from "../config_edit.ts";
import { loadConfig } from "../config_file.ts";
import { checkRule, describeVerdict } from "./check_rule.ts";
import { type ClientConfig, clientConfigSchema } from "./config.ts";
import { findConfig } from "./config_path.ts";
import { putTcp } from "./edit_rules.ts";
import { allocatePort } from "./route_tcp_allocate.ts";
import { assertService } from "./service_schema.ts";
import { requireTcpTarget, targetFromOptions } from "./target_options.ts";
import { toWireTcp } from "./to_client_rules.ts";

/** Flags of `route tcp forward`. */
export interface RouteTcpForwardOptions {
  port?: number;
  destination?: string;
  dstport?: number;
  target?: string;
  proxyProtocol?: boolean;
  service?: string;
  private?: boolean;
  offline?: boolean;
}

/**
 * `pktriot route tcp forward`: gives a port its target, replacing the former one; without `--port` it is the port of the same service, or
 * else one is allocated.
 */
export async function routeTcpForward(context: CommandContext, options: RouteTcpForwardOptions): Promise<void> {
  const { io } = context;
  const path = await findConfig(context);
  const { value: config } = await loadConfig(path, clientConfigSchema);
  const target = requireTcpTarget(await targetFromOptions(options));
  assertService(options.service);
  const known = options.port ?? portOfService(config, options.service);
  if (options.offline === true && known === undefined) {
    throw usageError("A port cannot be allocated offline", { fix: "Give --port, or leave --offline away." });
  }
  const port = known ?? await allocatePort(config);
  if (known === undefined) io.print(`Allocated port ${port}`);
  const { firewall } = config.tcp.find((rule) => rule.port === port) ?? {};
  const entry = {
    ...{ port, target, service: options.service, private: options.private },
    proxyProtocol: options.proxyProtocol === true ? "v2" as const : undefined,
  };
  const verdict = options.offline === true
    ? { kind: "unchecked" as const }
    : await checkRule(io, config, toWireTcp({ ...entry, firewall }));
  let done: "added" | "updated" = "added";
  // A rule that the server refused, or has withdrawn, is offered again by the same command.
  await editConfig(path, clientConfigSchema, (tree, value) => {
    done = putTcp(tree, value, entry);
  }, { again: true });
  io.print([`TCP traffic rule ${done}`, ...describeVerdict(verdict, target)]);
}

/** The same command again is not to take another port. */
function portOfService({ tcp }: ClientConfig, service: string | undefined): number | undefined {
  return service === undefined ? undefined : tcp.find((entry) => entry.service === service)?.port;
}
