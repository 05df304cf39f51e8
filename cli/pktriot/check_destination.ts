import type { Destination } from "../../protocol/destination.ts";
import { CodedError, type ErrorName } from "../../protocol/errors.ts";
import { describeError } from "../describe_error.ts";
import type { Io } from "../io.ts";
import { askServer } from "./ask_server.ts";
import type { ClientConfig } from "./config.ts";

/** An edit must not hang on a server that is away: after this it is made unchecked. */
const CHECK_TIMEOUT_MS = 3_000;

/** What the server said about a destination. */
export type DestinationVerdict =
  | { readonly kind: "allowed"; readonly serving: boolean }
  /** It was not asked, or could not say. */
  | { readonly kind: "unchecked" };

/** Refusals that the operator alone can change: what is mapped would never work. */
const FINAL: ReadonlySet<ErrorName> = new Set<ErrorName>([
  ...["DESTINATION_INVALID", "DESTINATION_DENIED", "DESTINATION_FORBIDDEN", "MESH_DISABLED"] as const,
]);

/**
 * Asks the server whether this tunnel may go to a destination. A service that is not online now may be so later, and a server that cannot
 * be asked is no reason against it: that is reported, and the verdict is `unchecked`.
 * @throws {CodedError} DESTINATION_DENIED, DESTINATION_FORBIDDEN, MESH_DISABLED
 */
export async function checkDestination(
  io: Io,
  config: ClientConfig,
  destination: Destination,
): Promise<DestinationVerdict> {
  try {
    return await askServer(config, async (tunnel): Promise<DestinationVerdict> => {
      const [{ serving }] = await Promise.all([
        tunnel.request("tunnel.info", {}),
        tunnel.request("destination.check", { destination }),
      ]);
      return { kind: "allowed", serving: serving !== undefined };
    }, { timeoutMs: CHECK_TIMEOUT_MS });
  } catch (error) {
    if (error instanceof CodedError && FINAL.has(error.kind)) throw error;
    io.report(describeError(error, { as: "warning" }));
    io.report("The port map is written all the same.");
    return { kind: "unchecked" };
  }
}
