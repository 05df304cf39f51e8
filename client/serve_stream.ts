import type { ChannelStream } from "../net/channel_stream.ts";
import { serveFetch } from "../net/http/fetch_server.ts";
import type { Logger } from "../net/log.ts";
import { pipe } from "../net/pipe.ts";
import { type CodedError, toCodedError } from "../protocol/errors.ts";
import type { StreamOpen } from "../protocol/stream_message.ts";
import { dialTarget, type DialTargetOptions } from "./dial_target.ts";
import type { Destination, Resolver } from "./resolver.ts";

/** After one direction of a stream ended, the other may be silent for so long (the same as at the server). */
const LINGER_MS = 300_000;

/** Joins a stream that the server opened to its target, until both have ended. Never rejects. */
export async function serveStream(
  stream: ChannelStream,
  open: StreamOpen,
  { resolver, log }: { resolver: Resolver; log: Logger },
): Promise<void> {
  const fields = { rule: open.rule, visitor: open.visitor.address };
  let destination: Destination;
  try {
    destination = resolver.resolve(open);
    if (destination.kind === "handler") return await serveHandler(stream, open, destination, log);
    const target = await dialTarget(destination.target, dialOptions(destination, open));
    await joinTarget(stream, target);
    log.debug("stream ended", fields);
  } catch (error) {
    const coded = toCodedError(error, "TARGET_UNREACHABLE");
    if (!stream.answered) return await refuse(stream, coded, { fields, log });
    log.debug("stream cut", { ...fields, code: coded.code, reason: coded.message });
  }
}

async function serveHandler(
  stream: ChannelStream,
  open: StreamOpen,
  destination: Extract<Destination, { kind: "handler" }>,
  log: Logger,
): Promise<void> {
  await stream.accept();
  await serveFetch(stream, destination.handler, { address: open.visitor.address, log });
}

/** The header is ours, not the visitor's: `fin` does not count it. */
function dialOptions(
  { options, proxyProtocol }: Extract<Destination, { kind: "socket" }>,
  { visitor }: StreamOpen,
): DialTargetOptions {
  return proxyProtocol === undefined ? options : { ...options, proxyFor: visitor };
}

async function joinTarget(stream: ChannelStream, target: Awaited<ReturnType<typeof dialTarget>>): Promise<void> {
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
