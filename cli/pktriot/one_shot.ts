import { createChild } from "../../client/enrol.ts";
import { errorFromWire, ERRORS } from "../../protocol/errors.ts";
import type { RuleState } from "../../protocol/message.ts";
import type { ClientRule } from "../../client/options.ts";
import type { CommandContext } from "../command_context.ts";
import { usageError } from "../command_error.ts";
import { loadConfig } from "../config_file.ts";
import { parseDomain } from "../parse_domain.ts";
import { clientConfigSchema } from "./config.ts";
import { findConfig } from "./config_path.ts";
import { checkHost } from "./http_schema.ts";
import { renderArrow } from "./render_rules.ts";
import { type ServeContext, serveSession } from "./serve_session.ts";
import { serverAddressOf } from "./server_address.ts";
import { requireTcpTarget, targetFromOptions } from "./target_options.ts";
import { usageOf } from "./usage_of.ts";
import { whenAborted } from "../stop_signals.ts";

/** Flags of `pktriot http`. */
export interface OneShotHttpOptions {
  domain?: string;
  webroot?: string;
  hostHeader?: string;
  insecureUpstream?: boolean;
}

/** `pktriot http 8080`, `pktriot http --webroot DIR`: a name of its own, or one of the tunnel's, for as long as it runs. */
export async function oneShotHttp(
  context: CommandContext,
  place: string | undefined,
  options: OneShotHttpOptions,
): Promise<void> {
  if ((place === undefined) === (options.webroot === undefined)) {
    throw usageError("A one-shot leads to one place", {
      fix: "Give a target such as 8080, or a folder with --webroot.",
    });
  }
  const target = await targetFromOptions({
    ...(place === undefined ? {} : { target: place }),
    ...(options.webroot === undefined ? {} : { webroot: options.webroot }),
  });
  const { webroot: _, domain, ...extras } = options;
  const { hostHeader } = extras;
  if (hostHeader !== undefined) usageOf("--host-header", () => checkHost(hostHeader));
  const rule: ClientRule = {
    kind: "http",
    target,
    ...extras,
    ...(domain === undefined ? {} : { domain: parseDomain(domain) }),
  };
  await oneShot(context, target, [rule], ({ firstStates }) => firstStates);
}

/** `pktriot tcp 22`: a port of its own, or one of the tunnel's, for as long as it runs. */
export async function oneShotTcp(
  context: CommandContext,
  place: string,
  options: { port?: number } = {},
): Promise<void> {
  const target = requireTcpTarget(await targetFromOptions({ target: place }));
  await oneShot(context, target, [], async ({ tunnel, publish }) => {
    const { port } = await tunnel.request("port.allocate", options);
    return await publish([{ kind: "tcp", port, target }]);
  });
}

type Publish = (serve: ServeContext) => Promise<readonly RuleState[]>;

async function oneShot(context: CommandContext, target: string, rules: ClientRule[], publish: Publish): Promise<void> {
  const { value: config } = await loadConfig(await findConfig(context), clientConfigSchema);
  const address = serverAddressOf(config);
  context.io.print("Connecting...");
  const child = await createChild(address, config.tunnel.token);
  // The address is all a person wants to see here; trouble is still told.
  await serveSession(context, { ...address, token: child.token, rules, logLevel: "warn" }, async (serve) => {
    const [state] = await publish(serve);
    if (state?.state !== "active") {
      throw errorFromWire(
        state?.code ?? ERRORS.REQUEST_FAILED.code,
        state?.message ?? "The server did not take the rule",
      );
    }
    context.io.print([renderArrow(state.address ?? state.id, target), "Press Ctrl-C to stop."]);
    await whenAborted(serve.ended);
  });
}
