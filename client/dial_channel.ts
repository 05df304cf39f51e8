import { Deadline } from "../net/deadline.ts";
import type { Duplex } from "../net/duplex.ts";
import { requestUpgrade } from "../net/upgrade.ts";
import { DOORS } from "../protocol/limits.ts";
import { dialServer } from "./dial_server.ts";
import type { ResolvedServerAddress } from "./server_address.ts";

/** The server answers an upgrade within this time: a dial that hangs would keep its place among the parallel ones. */
const UPGRADE_TIMEOUT_MS = 10_000;

/** Dials at once: enough to fill a pool quickly, too few to look like a flood. */
export const PARALLEL_DIALS = 8;
/** A channel silent for so long is pinged, and closed when it stays silent. */
export const LIVENESS = { silenceMs: 25_000, pongMs: 10_000 } as const;

/** Where data channels of a session lead. */
export interface ChannelDial {
  readonly address: ResolvedServerAddress;
  /** `id.secret` of the session. */
  readonly credential: string;
  /** @default 10_000 */
  readonly upgradeMs?: number;
}

/**
 * Dials the connection of a data channel, on which `opener` opens the streams; with it come bytes that were behind the upgrade.
 * @throws {CodedError} the server's refusal, SERVER_UNREACHABLE, SERVER_TLS
 */
export async function dialChannel(
  { address, credential, upgradeMs = UPGRADE_TIMEOUT_MS }: ChannelDial,
  { opener, signal }: { opener: "server" | "client"; signal: AbortSignal },
): Promise<{ duplex: Duplex; initial: Uint8Array }> {
  const duplex = await dialServer(address, signal);
  const abort = (): void => duplex.reset();
  signal.addEventListener("abort", abort, { once: true });
  if (signal.aborted) abort();
  using _deadline = new Deadline(upgradeMs, () => duplex.reset(new Error("no answer in time")));
  try {
    const path = `${DOORS.data}?opener=${opener}`;
    return { duplex, initial: await requestUpgrade(duplex, { host: address.sni, path, bearer: credential }) };
  } catch (error) {
    duplex.reset();
    throw error;
  } finally {
    signal.removeEventListener("abort", abort);
  }
}
