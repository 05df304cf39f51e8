import type { ChannelStream } from "../net/channel_stream.ts";
import type { Drain } from "../net/drain.ts";
import { serveFetch } from "../net/http/fetch_server.ts";
import type { Logger } from "../net/log.ts";
import { pipe } from "../net/pipe.ts";
import { type CodedError, toCodedError } from "../protocol/errors.ts";
import type { StreamOpen } from "../protocol/stream_message.ts";
import type { HandlerDestination, SocketDestination } from "./destination.ts";
import { openTarget } from "./open_target.ts";
import type { Resolver } from "./resolver.ts";
import { serveTls } from "./serve_tls.ts";

/** After one direction of a stream ended, the other may be silent for so long (the same as at the server). */
const LINGER_MS = 300_000;

/** What serving the streams of a session needs. */
export interface ServeStreamOptions {
  readonly resolver: Resolver;
  readonly log: Logger;
  /** No new work is taken: connections whose requests are seen here end with their exchange. */
  readonly draining: Drain;
}

/** Serves a stream that the server opened, until both directions have ended. Never rejects. */
export async function serveStream(stream: ChannelStream, open: StreamOpen, options: ServeStreamOptions): Promise<void> {
  const { resolver, log, draining } = options;
  const fields = { rule: open.rule, visitor: open.visitor.address };
  try {
    const destination = resolver.resolve(open);
    switch (destination.kind) {
      case "handler":
        return await serveHandler(stream, open, { destination, log });
      case "tls":
        return await serveTls(stream, open, { site: () => resolver.site(open.rule), draining, log });
      case "socket":
        await joinTarget(stream, open, destination);
        return log.debug("stream ended", fields);
      default:
        return destination satisfies never;
    }
  } catch (error) {
    const coded = toCodedError(error, "TARGET_UNREACHABLE");
    if (!stream.answered) return await refuse(stream, coded, { fields, log });
    log.debug("stream cut", { ...fields, code: coded.code, reason: coded.message });
  }
}

async function serveHandler(
  stream: ChannelStream,
  open: StreamOpen,
  { destination, log }: { destination: HandlerDestination; log: Logger },
): Promise<void> {
  await stream.accept();
  await serveFetch(stream, destination.handler, { address: open.visitor.address, log });
}

async function joinTarget(stream: ChannelStream, open: StreamOpen, destination: SocketDestination): Promise<void> {
  const target = await openTarget(destination, open.visitor);
  try {
    await stream.accept();
  } catch (error) {
    target.reset(error);
    throw error;
  }
  await pipe(stream, target, {
    lingerMs: LINGER_MS,
    onBytes: (count, direction) => {
      if (direction === "up") stream.delivered += count;
    },
  });
}

async function refuse(
  stream: ChannelStream,
  error: CodedError,
  { fields, log }: { fields: Record<string, string>; log: Logger },
): Promise<void> {
  log.warn("target failed", { ...fields, code: error.code, reason: error.message });
  await stream.refuse(error);
}
