import { ControlChannel } from "../net/control_channel.ts";
import { Deadline } from "../net/deadline.ts";
import { requestUpgrade } from "../net/upgrade.ts";
import { CodedError, errorFromWire, ProtocolError } from "../protocol/errors.ts";
import { DOORS } from "../protocol/limits.ts";
import type { ControlMessage, Hello, UnknownMessage, Welcome } from "../protocol/message.ts";
import { dialServer } from "./dial_server.ts";
import type { ResolvedServerAddress } from "./server_address.ts";

/** The server answers the hello within this time (it may have to ping a session that we replace). */
const WELCOME_TIMEOUT_MS = 10_000;

/** Opens a control channel. @throws {CodedError} the server's refusal, SERVER_UNREACHABLE, SERVER_TLS */
export async function dialControl(
  address: ResolvedServerAddress,
  { token, signal }: { token: string; signal: AbortSignal },
): Promise<ControlChannel> {
  const duplex = await dialServer(address, signal);
  const abort = (): void => duplex.reset();
  signal.addEventListener("abort", abort, { once: true });
  using _deadline = new Deadline(WELCOME_TIMEOUT_MS, () => duplex.reset(new Error("no answer in 10 s")));
  try {
    const initial = await requestUpgrade(duplex, { host: address.sni, path: DOORS.control, bearer: token });
    return new ControlChannel(duplex, { client: true, secure: true, initial });
  } catch (error) {
    duplex.reset();
    throw error;
  } finally {
    signal.removeEventListener("abort", abort);
  }
}

/** Says hello, and waits to be welcomed. @throws {CodedError} the reason of a `bye` */
export async function greet(
  control: ControlChannel,
  { hello, signal }: { hello: Hello; signal: AbortSignal },
): Promise<Welcome> {
  const abort = (): void => control.reset();
  signal.addEventListener("abort", abort, { once: true });
  using _deadline = new Deadline(WELCOME_TIMEOUT_MS, abort);
  try {
    signal.throwIfAborted();
    await control.send(hello);
    const welcome = asWelcome(await control.receive());
    // Whoever stopped us meanwhile could not know of this channel.
    signal.throwIfAborted();
    return welcome;
  } finally {
    signal.removeEventListener("abort", abort);
  }
}

function asWelcome(message: ControlMessage | UnknownMessage | null): Welcome {
  if (message?.kind === "welcome") return message;
  if (message?.kind === "bye") throw errorFromWire(message.code, message.message, "SESSION_CLOSED");
  if (message === null) {
    throw new CodedError("SERVER_UNREACHABLE", "The server closed the connection without an answer");
  }
  throw new ProtocolError(`Cannot take "${message.kind}" before welcome`);
}
