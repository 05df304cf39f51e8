import type { ChannelStream } from "../../net/channel_stream.ts";
import type { PublishedRule, Visit } from "../published_rule.ts";
import { sourceOf } from "./identity.ts";
import type { RunningStream } from "./running_streams.ts";

/** What opens: the stream itself, or one of several attempts for it. */
export type OpeningStream = Pick<RunningStream, "identity" | "signal" | "cut">;

/**
 * Opens a stream to the target of a TCP rule; settles when that was reached.
 * @throws {CodedError} TUNNEL_OFFLINE, TUNNEL_BUSY, or why the client refuses it; the reason of the stream when it was cut
 */
export async function openTcpRule(stream: OpeningStream, published: PublishedRule): Promise<ChannelStream> {
  const { id, revision, session } = published;
  const { address } = stream.identity;
  // The end of the rule is the end of it; the firewall is for visitors.
  const visit: Visit = { address, exempt: true, reset: (error) => stream.cut(error) };
  published.enter(visit);
  let opened: ChannelStream | undefined;
  const onCut = (): void => opened?.reset(stream.signal.reason);
  stream.signal.addEventListener("abort", onCut, { once: true });
  try {
    opened = await session.open({
      ...{ rule: id, revision, protocol: "tcp", visitor: { address, port: 0 } },
      ...sourceOf(stream.identity),
    });
    if (stream.signal.aborted) onCut();
    await opened.opened();
    void opened.closed.then(() => published.leave(visit));
    return opened;
  } catch (error) {
    published.leave(visit);
    throw error;
  } finally {
    stream.signal.removeEventListener("abort", onCut);
  }
}
