import type { FetchHandler as AddressedHandler } from "../net/http/fetch_server.ts";
import { staticHandler } from "../net/http/static_files.ts";
import { CodedError } from "../protocol/errors.ts";
import { type HttpRule, type Rule, ruleId } from "../protocol/rule.ts";
import type { StreamOpen } from "../protocol/stream_message.ts";
import { defaultPage } from "./default_page.ts";
import type { DialTargetOptions, SocketTarget } from "./dial_target.ts";
import type { ClientHttpRule, ClientRule, Target } from "./options.ts";
import { describeTarget, type ParsedTarget, parseTarget } from "./target.ts";

/** Where a stream goes on this side. */
export type Destination =
  | { kind: "socket"; target: SocketTarget; options: DialTargetOptions }
  | { kind: "handler"; handler: AddressedHandler };

/** Answers "where does this stream go?" for the streams that the server opens: by rule. */
export class Resolver {
  #destinations: ReadonlyMap<string, Destination> = new Map();
  /** What each rule was made from, as far as its published form does not show it. */
  #origins: ReadonlyMap<string, Origin> = new Map();

  /**
   * Takes the whole new set of rules, or none of it; gives what the server is to publish.
   * @throws {CodedError} TARGET_INVALID, RULE_INVALID
   */
  set(rules: readonly ClientRule[], hostname: string): Rule[] {
    const destinations = new Map<string, Destination>();
    const origins = new Map<string, Origin>();
    const wire: Rule[] = [];
    for (const rule of rules.length > 0 ? rules : [defaultRule(hostname)]) {
      const { published, destination } = resolveRule(rule, hostname);
      const id = ruleId(published);
      if (destinations.has(id)) throw new CodedError("RULE_INVALID", `There are two rules for ${id}`);
      destinations.set(id, destination);
      if (rule.kind === "http" && published.kind === "http") {
        const origin = nextOrigin(this.#origins.get(id), rule);
        origins.set(id, origin);
        if (origin.generation > 0) published.generation = origin.generation;
      }
      wire.push(published);
    }
    this.#destinations = destinations;
    this.#origins = origins;
    return wire;
  }

  /** @throws {CodedError} NO_SUCH_RULE */
  resolve(open: StreamOpen): Destination {
    const destination = this.#destinations.get(open.rule);
    if (destination === undefined) throw new CodedError("NO_SUCH_RULE", `The client has no rule ${open.rule}`);
    return destination;
  }
}

interface Origin {
  readonly target: Target;
  readonly insecure: boolean;
  readonly generation: number;
}

/** Another handler looks the same to the server, which must not go on with connections to the one before. */
function nextOrigin(before: Origin | undefined, { target, insecureUpstream = false }: ClientHttpRule): Origin {
  const same = before === undefined || (before.target === target && before.insecure === insecureUpstream);
  return { target, insecure: insecureUpstream, generation: (before?.generation ?? 0) + (same ? 0 : 1) };
}

function defaultRule(hostname: string): ClientHttpRule {
  return { kind: "http", domain: hostname, target: defaultPage(hostname) };
}

function resolveRule(rule: ClientRule, hostname: string): { published: Rule; destination: Destination } {
  const firewall = (rule.firewall ?? []).map((line) => ({ ...line }));
  if (rule.kind === "tcp") {
    const target = parseTarget(rule.target);
    if (target.kind === "folder" || target.kind === "https") {
      throw new CodedError(
        "TARGET_INVALID",
        `Cannot use the target "${rule.target}" for a TCP port: write host:port or unix:/path`,
      );
    }
    return {
      published: { kind: "tcp", transport: "tcp", port: rule.port, target: describeTarget(target), firewall },
      destination: { kind: "socket", target, options: {} },
    };
  }
  const domain = rule.domain ?? hostname;
  if (typeof rule.target === "function") {
    const handler = rule.target;
    return {
      published: { kind: "http", domain, target: "", firewall },
      destination: { kind: "handler", handler: (request) => handler(request) },
    };
  }
  const target = parseTarget(rule.target);
  const published: HttpRule = { kind: "http", domain, target: describeTarget(target), firewall };
  const hostHeader = rule.hostHeader ?? impliedHost(target);
  if (hostHeader !== undefined) published.hostHeader = hostHeader;
  return { published, destination: httpDestination(target, rule) };
}

/** A server behind `https://name` is asked for by that name; every other target sees the visitor's Host. */
function impliedHost(target: ParsedTarget): string | undefined {
  if (target.kind !== "https") return undefined;
  return target.port === 443 ? target.host : `${target.host}:${target.port}`;
}

function httpDestination(target: ParsedTarget, rule: ClientHttpRule): Destination {
  if (target.kind === "folder") return { kind: "handler", handler: staticHandler(target.path) };
  return { kind: "socket", target, options: { insecure: rule.insecureUpstream === true } };
}
