import { ChannelStream } from "../../net/channel_stream.ts";
import type { Logger } from "../../net/log.ts";
import { pipe } from "../../net/pipe.ts";
import { formatDestination } from "../../protocol/destination.ts";
import { toCodedError } from "../../protocol/errors.ts";
import type { StreamConnect } from "../../protocol/stream_message.ts";
import type { Metrics } from "../metrics.ts";
import { LOGGED_BY_ACCESS } from "./access.ts";
import { identityFacts, type MeshIdentity } from "./identity.ts";
import type { Mesh, MeshConnection } from "./mesh.ts";

/** What serving a stream that a client opened needs. */
export interface MeshStreamParts {
  readonly identity: MeshIdentity;
  readonly mesh: Pick<Mesh, "open">;
  readonly log: Logger;
  /** After one direction ended, the other may be silent for so long. */
  readonly lingerMs: number;
  readonly metrics: Pick<Metrics, "bytes" | "countRefusal">;
}

/** Opens what a client asks for, answers, and joins the two until both directions have ended. Never rejects. */
export async function serveMeshStream(
  stream: ChannelStream,
  open: StreamConnect,
  parts: MeshStreamParts,
): Promise<void> {
  const { identity, mesh, log } = parts;
  const gone = new AbortController();
  void stream.closed.then(() => gone.abort());
  const facts = { ...identityFacts(identity), to: formatDestination(open.destination) };
  let connection: MeshConnection;
  try {
    connection = await mesh.open(identity, open.destination, { signal: gone.signal });
  } catch (error) {
    const coded = toCodedError(error);
    parts.metrics.countRefusal(coded.kind);
    log[LOGGED_BY_ACCESS.has(coded.kind) ? "debug" : "info"]("mesh stream refused", {
      ...facts,
      code: coded.code,
      reason: coded.message,
    });
    return await stream.refuse(coded);
  }
  try {
    await join(stream, connection, parts);
    log.debug("mesh stream ended", facts);
  } catch (error) {
    const { code, message } = toCodedError(error);
    log.debug("mesh stream cut", { ...facts, code, reason: message });
  }
}

async function join(stream: ChannelStream, connection: MeshConnection, parts: MeshStreamParts): Promise<void> {
  const { duplex, cut } = connection;
  // The client is told why, which the target's end of it could not say.
  cut.addEventListener("abort", () => stream.reset(cut.reason), { once: true });
  try {
    await stream.accept();
  } catch (error) {
    duplex.reset(error);
    throw error;
  }
  const target = duplex instanceof ChannelStream ? duplex : undefined;
  await pipe(stream, duplex, {
    lingerMs: parts.lingerMs,
    onBytes: (count, direction) => {
      if (direction === "up") stream.delivered += count;
      else if (target !== undefined) target.delivered += count;
      parts.metrics.bytes[direction] += count;
    },
  });
}
