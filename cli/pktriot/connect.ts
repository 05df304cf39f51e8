import { connect, type Tunnel } from "../../client/client.ts";
import { type Logger, SILENT } from "../../net/log.ts";
import { pipe } from "../../net/pipe.ts";
import { type Destination, parseDestination } from "../../protocol/destination.ts";
import { CodedError, toCodedError } from "../../protocol/errors.ts";
import { CommandError } from "../command_error.ts";
import type { CommandContext } from "../command_context.ts";
import { loadConfig } from "../config_file.ts";
import { programLog } from "../program_log.ts";
import { StdioDuplex } from "../stdio_duplex.ts";
import { stopSignals } from "../stop_signals.ts";
import { type ClientConfig, clientConfigSchema } from "./config.ts";
import { findConfig } from "./config_path.ts";
import { destinationOfName } from "./destination_of_name.ts";
import { serverAddressOf } from "./server_address.ts";

/** How long the server may take to answer; the destination has its own time. */
const SESSION_TIMEOUT_MS = 10_000;
/** After standard input ended, the other side may be silent for so long: as at the server. */
const ANSWER_LINGER_MS = 5 * 60_000;
/** After the other side ended, standard input that is silent for so long has ended too: whoever reads our output sees its end only when we end. */
const INPUT_LINGER_MS = 2_000;
/** What was sent last is on its way for at most so long. */
const GOODBYE_MS = 5_000;

/**
 * `pktriot connect`: one connection on standard input and output, where nothing else is printed. Returns when both directions have ended.
 * @throws {CodedError} why it could not be, or was cut
 */
export async function connectCommand(context: CommandContext, place: string): Promise<void> {
  const destination = place.includes(":") ? parseDestination(place) : undefined;
  const { value: config } = await loadConfig(await findConfig(context), clientConfigSchema);
  using signals = stopSignals();
  using log = context.global.logLevel === undefined ? undefined : programLog(context, {});
  const tunnel = await openSession(config, { signal: signals.first, log: log ?? SILENT });
  let ended = false;
  try {
    await carry(tunnel, destination ?? await lookUp(tunnel, place), signals.first);
    ended = true;
  } finally {
    // What was cut is cut; what ended must arrive.
    await tunnel.stop({ graceMs: ended ? GOODBYE_MS : 0 });
  }
}

/** A session beside a running `start`, which outlives a lost control connection as that one does. */
async function openSession(
  config: ClientConfig,
  { signal, log }: { signal: AbortSignal; log: Logger },
): Promise<Tunnel> {
  const given = new AbortController();
  /** Why there is no session; later losses are healed. */
  let reason: CodedError | undefined;
  function giveUp(error: CodedError): void {
    reason ??= error;
    given.abort();
  }
  const { address } = config.server;
  const timer = setTimeout(
    () =>
      giveUp(new CodedError("SERVER_UNREACHABLE", `${address} did not answer within ${SESSION_TIMEOUT_MS / 1_000} s`)),
    SESSION_TIMEOUT_MS,
  );
  const onStop = (): void => giveUp(stopped());
  signal.addEventListener("abort", onStop, { once: true });
  let connected = false;
  try {
    const tunnel = await connect({
      ...serverAddressOf(config),
      ...{ token: config.tunnel.token, role: "use", once: false, signal: given.signal, logger: log },
      onEvent(event) {
        connected ||= event.kind === "connected";
        if (event.kind === "disconnected" && !connected) giveUp(event.error);
      },
    });
    return tunnel;
  } catch (error) {
    throw reason ?? toCodedError(error, "SERVER_UNREACHABLE");
  } finally {
    clearTimeout(timer);
    signal.removeEventListener("abort", onStop);
  }
}

async function lookUp(tunnel: Tunnel, name: string): Promise<Destination> {
  const listed = await tunnel.request("service.list", {});
  return destinationOfName(name, { ...listed, domain: tunnel.server.domain });
}

async function carry(tunnel: Tunnel, destination: Destination, signal: AbortSignal): Promise<void> {
  const remote = await untilStopped(tunnel.connect(destination, { signal }), signal);
  const local = new StdioDuplex({
    ...{ input: Deno.stdin, output: Deno.stdout },
    // A person's terminal never ends by itself.
    lingerMs: Deno.stdin.isTerminal() ? 0 : INPUT_LINGER_MS,
  });
  const onStop = (): void => {
    local.reset(stopped());
    remote.reset(stopped());
  };
  signal.addEventListener("abort", onStop, { once: true });
  if (signal.aborted) onStop();
  try {
    await pipe(local, remote, { lingerMs: ANSWER_LINGER_MS });
  } catch (error) {
    throw signal.aborted ? stopped() : error;
  } finally {
    signal.removeEventListener("abort", onStop);
  }
}

async function untilStopped<T>(pending: Promise<T>, signal: AbortSignal): Promise<T> {
  try {
    return await pending;
  } catch (error) {
    throw signal.aborted ? stopped() : error;
  }
}

function stopped(): CommandError {
  return new CommandError("SESSION_CLOSED", "Stopped: the connection was cut", { fix: "" });
}
