import type { Duplex } from "../../net/duplex.ts";
import type { Peer } from "../../net/listen.ts";
import type { Logger } from "../../net/log.ts";
import { pipe } from "../../net/pipe.ts";
import { CodedError, toCodedError } from "../../protocol/errors.ts";
import type { StreamOpen } from "../../protocol/stream_message.ts";
import type { Metrics } from "../metrics.ts";
import type { PublishedRule, Visit } from "../published_rule.ts";

/** What joining visitors to targets needs. */
export interface RawVisitParts {
  lingerMs: number;
  metrics: Metrics;
  log: Logger;
}

/** One visitor whose bytes go to the target as they are. */
export interface RawVisit {
  readonly visitor: Duplex;
  readonly rule: PublishedRule;
  readonly protocol: "tcp" | "tls";
  readonly from: Peer;
  /** It is a certificate authority with a challenge: the firewall is not for it. */
  readonly challenge?: boolean;
  /** It comes through the mesh, whose policy has let it in: neither is the firewall for it. */
  readonly mesh?: Pick<StreamOpen, "source">;
}

/** Joins the visitor to the target of the rule, if its firewall lets it in, until both have ended. Never rejects. */
export async function serveRawVisit(raw: RawVisit, parts: RawVisitParts): Promise<void> {
  const { visitor, rule, protocol, from, challenge = false, mesh } = raw;
  const { metrics, log } = parts;
  const exempt = mesh !== undefined;
  const visit: Visit = { address: from.address, exempt, reset: (error) => visitor.reset(error) };
  try {
    // While it said who it is, its rule may have gone, and another with another firewall may have come.
    if (rule.withdrawn) throw new CodedError("NO_SUCH_RULE");
    if (!challenge && !exempt && !rule.allows(from.address)) throw new CodedError("FORBIDDEN");
    rule.enter(visit);
    const { id, revision, session } = rule;
    const stream = await session.open({ rule: id, revision, protocol, visitor: from, ...mesh });
    await pipe(visitor, stream, {
      lingerMs: parts.lingerMs,
      onBytes: (count, direction) => {
        if (direction === "down") stream.delivered += count;
        metrics.bytes[direction] += count;
      },
    });
    log.debug("visitor left", factsOf(rule, from));
  } catch (error) {
    cutVisitor({ visitor, rule, from }, error, parts);
  } finally {
    rule.leave(visit);
  }
}

/** Resets a visitor, and says why where the operator looks. */
export function cutVisitor(
  { visitor, rule, from }: Pick<RawVisit, "visitor" | "rule" | "from">,
  error: unknown,
  { metrics, log }: Pick<RawVisitParts, "metrics" | "log">,
): void {
  const { code, kind, message } = toCodedError(error);
  visitor.reset(error);
  metrics.countRefusal(kind);
  log[kind === "STREAM_RESET" ? "debug" : "info"]("visitor cut", { ...factsOf(rule, from), code, reason: message });
}

function factsOf(rule: PublishedRule, from: Peer): Record<string, string> {
  return { tunnel: rule.session.tunnel.id, rule: rule.id, visitor: from.address };
}
