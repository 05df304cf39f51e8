import { connect, type Tunnel } from "../../client/client.ts";
import { CodedError, toCodedError } from "../../protocol/errors.ts";
import type { ClientConfig } from "./config.ts";
import { serverAddressOf } from "./server_address.ts";

/** How long a command that needs the server waits for it. */
const ANSWER_TIMEOUT_MS = 10_000;

/**
 * Runs `action` with a session beside a running `start`, and ends it.
 * @throws {CodedError} what the server answered, or SERVER_UNREACHABLE after `timeoutMs`.
 */
export async function askServer<T>(
  config: Pick<ClientConfig, "server" | "tunnel">,
  action: (tunnel: Tunnel) => Promise<T>,
  options: { timeoutMs?: number } = {},
): Promise<T> {
  const timeoutMs = options.timeoutMs ?? ANSWER_TIMEOUT_MS;
  const deadline = new AbortController();
  const { promise: expired, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(() => {
    const error = new CodedError(
      "SERVER_UNREACHABLE",
      `${config.server.address} did not answer within ${timeoutMs / 1_000} s`,
    );
    reject(error);
    deadline.abort(error);
  }, timeoutMs);
  try {
    return await Promise.race([run(config, action, deadline.signal), expired]);
  } catch (error) {
    throw toCodedError(error, "SERVER_UNREACHABLE");
  } finally {
    clearTimeout(timer);
  }
}

async function run<T>(
  config: Pick<ClientConfig, "server" | "tunnel">,
  action: (tunnel: Tunnel) => Promise<T>,
  signal: AbortSignal,
): Promise<T> {
  await using tunnel = await connect({
    ...serverAddressOf(config),
    token: config.tunnel.token,
    role: "use",
    once: true,
    signal,
  });
  return await action(tunnel);
}
