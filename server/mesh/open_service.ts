import type { Duplex } from "../../net/duplex.ts";
import { CodedError, type ErrorName } from "../../protocol/errors.ts";
import type { PublishedRule } from "../published_rule.ts";
import { openFirst } from "./open_first.ts";
import { openTcpRule } from "./open_tcp_rule.ts";
import type { RunningStream } from "./running_streams.ts";

/** Several tunnels may offer one service: so many are tried when they cannot be reached. */
const MAX_TRIES = 8;
/** A tunnel that has not opened the stream in this time has the next one tried beside it; a deadline is up to 500 ms late. */
const PATIENCE_MS = 1_500;
/** What is the matter with one tunnel of a service need not be so with the next. */
const TRY_NEXT: ReadonlySet<ErrorName> = new Set<ErrorName>([
  ...[
    "TUNNEL_OFFLINE",
    "TUNNEL_BUSY",
    "NO_SUCH_RULE",
    "STREAM_RESET",
    "SESSION_CLOSED",
    "TAKEN_OVER",
    "REVOKED",
  ] as const,
  ...["RULE_UNKNOWN", "RULE_INVALID"] as const,
  ...["TARGET_REFUSED", "TARGET_TIMEOUT", "TARGET_DNS", "TARGET_SOCKET_MISSING", "TARGET_UNREACHABLE"] as const,
]);

/** Those first that are most likely there; those that are about to stop only when there are no others. */
export function mostLikelyFirst(rules: readonly PublishedRule[]): readonly PublishedRule[] {
  const willing = rules.filter(({ session }) => !session.draining);
  const some = willing.length > 0 ? willing : rules;
  return [...some.filter(({ session }) => !session.doubtful), ...some.filter(({ session }) => session.doubtful)];
}

interface OpenedRule {
  readonly duplex: Duplex;
  readonly rule: PublishedRule;
}

/**
 * Opens a stream to the first of several TCP rules that can take it; they are of tunnels that offer one service.
 * @throws {CodedError} as `openTcpRule()` does, when none can
 */
export function openService(
  stream: RunningStream,
  rules: readonly PublishedRule[],
  { patienceMs = PATIENCE_MS }: { readonly patienceMs?: number },
): Promise<OpenedRule> {
  const candidates = rules.filter(({ rule }) => rule.kind === "tcp").slice(0, MAX_TRIES);
  return openFirst(candidates, {
    open: (rule, attempt) => attemptRule(stream, rule, attempt),
    discard: ({ duplex }) => duplex.reset(),
    mayTryNext: (error) => error instanceof CodedError && TRY_NEXT.has(error.kind),
    patienceMs,
    signal: stream.signal,
  });
}

/** Opens one of several; until it is open the end of its rule is the end of this attempt alone. */
async function attemptRule(
  stream: RunningStream,
  rule: PublishedRule,
  attempt: AbortController,
): Promise<OpenedRule> {
  let isOpen = false;
  const duplex = await openTcpRule({
    identity: stream.identity,
    signal: attempt.signal,
    cut: (error) => isOpen ? stream.cut(error) : attempt.abort(error),
  }, rule);
  isOpen = true;
  return { duplex, rule };
}
