import type { FetchHandler as AddressedHandler } from "../net/http/fetch_server.ts";
import { type CompiledHttpOptions, compileRuleOptions } from "../net/http/proxy/rule_options.ts";
import { staticHandler } from "../net/http/static_files.ts";
import { CodedError } from "../protocol/errors.ts";
import { type HttpRule, type Rule, ruleId } from "../protocol/rule.ts";
import type { StreamOpen } from "../protocol/stream_message.ts";
import { defaultPage } from "./default_page.ts";
import type { DialTargetOptions, SocketTarget } from "./dial_target.ts";
import type { ClientHttpRule, ClientRule, FetchHandler, Target } from "./options.ts";
import { describeTarget, type ParsedTarget, parseTarget } from "./target.ts";

/** Where a stream goes on this side; `http` is what is done to requests that become plain here. */
export type Destination =
  | {
    kind: "socket";
    target: SocketTarget;
    options: DialTargetOptions;
    proxyProtocol?: "v2";
    http?: CompiledHttpOptions;
  }
  | { kind: "handler"; handler: AddressedHandler; http?: CompiledHttpOptions };

/** Answers "where does this stream go?" for the streams that the server opens: by rule. */
export class Resolver {
  #destinations: ReadonlyMap<string, Destination> = new Map();
  /** What each rule was made from, as far as its published form does not show it. */
  #origins: ReadonlyMap<string, Origin> = new Map();

  /**
   * Takes the whole new set of rules, or none of it; gives what the server is to publish.
   * @throws {CodedError} TARGET_INVALID, RULE_INVALID, OPTION_NEEDS_PLAINTEXT
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
  const proxied = rule.proxyProtocol === undefined ? {} : { proxyProtocol: rule.proxyProtocol };
  if (rule.kind === "tcp") {
    const target = parseTarget(rule.target);
    if (target.kind === "folder" || target.kind === "https") {
      throw new CodedError(
        "TARGET_INVALID",
        `Cannot use the target "${rule.target}" for a TCP port: write host:port or unix:/path`,
      );
    }
    return {
      published: {
        kind: "tcp",
        transport: "tcp",
        port: rule.port,
        target: describeTarget(target),
        firewall,
        ...proxied,
      },
      destination: { kind: "socket", target, options: {}, ...proxied },
    };
  }
  return resolveHttp(rule, { domain: rule.domain ?? hostname, firewall, ...proxied });
}

type Common = Pick<HttpRule, "domain" | "firewall" | "proxyProtocol">;

function resolveHttp(rule: ClientHttpRule, common: Common): { published: Rule; destination: Destination } {
  const target = typeof rule.target === "function" ? rule.target : parseTarget(rule.target);
  const published: HttpRule = {
    kind: "http",
    target: typeof target === "function" ? "" : describeTarget(target),
    ...common,
  };
  const hostHeader = typeof target === "function" ? undefined : rule.hostHeader ?? impliedHost(target);
  if (hostHeader !== undefined) published.hostHeader = hostHeader;
  if (rule.options !== undefined) published.options = rule.options;
  const destination = httpDestination(target, rule);
  if (destination.kind === "handler" && common.proxyProtocol !== undefined && rule.tls?.end !== "target") {
    throw new CodedError(
      "RULE_INVALID",
      `Cannot use PROXY protocol for ${common.domain}: its target is in this program`,
    );
  }
  const http = compileRuleOptions(rule.tls === undefined ? published : { ...published, tls: rule.tls.end });
  return { published, destination: http === undefined ? destination : { ...destination, http } };
}

/** A server behind `https://name` is asked for by that name; every other target sees the visitor's Host. */
function impliedHost(target: ParsedTarget): string | undefined {
  if (target.kind !== "https") return undefined;
  return target.port === 443 ? target.host : `${target.host}:${target.port}`;
}

function httpDestination(target: ParsedTarget | FetchHandler, rule: ClientHttpRule): Destination {
  if (typeof target === "function") return { kind: "handler", handler: (request) => target(request) };
  if (target.kind === "folder") return { kind: "handler", handler: staticHandler(target.path) };
  const proxied = rule.proxyProtocol === undefined ? {} : { proxyProtocol: rule.proxyProtocol };
  return { kind: "socket", target, options: { insecure: rule.insecureUpstream === true }, ...proxied };
}
