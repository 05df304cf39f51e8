import { parseNetwork } from "../net/address.ts";
import { type CompiledHttpOptions, compileRuleOptions } from "../net/http/proxy/rule_options.ts";
import { staticHandler } from "../net/http/static_files.ts";
import { isServiceName } from "../protocol/destination.ts";
import { CodedError, toCodedError } from "../protocol/errors.ts";
import type { HttpRule, Rule } from "../protocol/rule.ts";
import type { HandlerDestination, SocketDestination } from "./destination.ts";
import type { ClientHttpRule, ClientRule, ClientTcpRule, FetchHandler, TlsEnd } from "./options.ts";
import { describeTarget, type ParsedTarget, parseTarget } from "./target.ts";

const EVERYBODY = ["0.0.0.0/0", "::/0"];

/** A rule with everything that its texts say. */
export interface ResolvedRule {
  readonly rule: ClientRule;
  /** What the server is to publish. */
  readonly published: Rule;
  /** Where its HTTP requests or TCP streams go. */
  readonly destination: SocketDestination | HandlerDestination;
  /** Where the TLS of its visitors goes, if it comes here. */
  readonly tls: ResolvedTls | undefined;
  /** The folder that is served, if it is one. */
  readonly folder: string | undefined;
  /** Why the rule must stay closed whatever happens: who may come in, or what is done to requests, cannot be carried out. */
  readonly fault: CodedError | undefined;
}

/** TLS that comes to this client. */
export type ResolvedTls =
  | { readonly end: "target"; readonly destination: SocketDestination }
  | Extract<TlsEnd, { end: "client" }>;

/** Reads a rule. @throws {CodedError} TARGET_INVALID, RULE_INVALID */
export function resolveRule(rule: ClientRule, hostname: string): ResolvedRule {
  return rule.kind === "tcp" ? resolveTcp(rule) : resolveHttp(rule, hostname);
}

function resolveTcp(rule: ClientTcpRule): ResolvedRule {
  const target = parsePlainTarget(rule.target, "for a TCP port");
  const { published, fault } = compile({
    ...{ kind: "tcp", transport: "tcp", port: rule.port, target: describeTarget(target) },
    ...{ firewall: firewallOf(rule), ...proxiedOf(rule), ...meshOf(rule) },
    ...(target.kind === "tcp" ? { targetPort: target.port } : {}),
  });
  return {
    ...{ rule, published, fault },
    destination: { kind: "socket", target, options: {}, ...proxiedOf(rule) },
    tls: undefined,
    folder: undefined,
  };
}

function resolveHttp(rule: ClientHttpRule, hostname: string): ResolvedRule {
  const target = typeof rule.target === "function" ? rule.target : parseTarget(rule.target);
  const { published, fault, http } = compile(publishedHttp(rule, target, rule.domain ?? hostname));
  const destination = httpDestination(target, rule);
  if (destination.kind === "handler" && rule.proxyProtocol !== undefined && rule.tls?.end !== "target") {
    throw new CodedError(
      "RULE_INVALID",
      `Cannot use PROXY protocol for ${rule.domain ?? hostname}: its target is in this program`,
    );
  }
  return {
    ...{ rule, published, fault },
    destination: http === undefined ? destination : { ...destination, http },
    tls: rule.tls === undefined || rule.tls.end === "server" ? undefined : resolveTls(rule.tls, rule),
    folder: typeof target !== "function" && target.kind === "folder" ? target.path : undefined,
  };
}

/** A mistake in a password hash or a network closes its own rule, and no other. */
function compile(rule: Rule): Pick<ResolvedRule, "published" | "fault"> & { http: CompiledHttpOptions | undefined } {
  try {
    for (const { network } of rule.firewall) parseNetwork(network);
    return { published: rule, http: compileRuleOptions(rule), fault: undefined };
  } catch (error) {
    return { published: closed(rule), http: undefined, fault: toCodedError(error, "RULE_INVALID") };
  }
}

/** The rule for nobody, without what is broken, which the protocol may not carry. It has a fault and is not open; were it, nobody would come in. */
function closed(rule: Rule): Rule {
  const firewall = EVERYBODY.map((network) => ({ action: "drop" as const, network }));
  if (rule.kind === "tcp") return { ...rule, firewall };
  const { options: _, ...rest } = rule;
  return { ...rest, firewall };
}

function publishedHttp(rule: ClientHttpRule, target: ParsedTarget | FetchHandler, domain: string): HttpRule {
  const hostHeader = typeof target === "function" ? undefined : rule.hostHeader ?? impliedHost(target);
  return {
    ...{ kind: "http", domain, target: typeof target === "function" ? "" : describeTarget(target) },
    firewall: firewallOf(rule),
    ...(hostHeader === undefined ? {} : { hostHeader }),
    ...(rule.tls === undefined ? {} : { tls: rule.tls.end }),
    ...(rule.tls?.end === "client" && rule.tls.certificate === "acme" ? { acme: true } : {}),
    ...(rule.redirect === undefined ? {} : { redirect: rule.redirect }),
    ...(rule.options === undefined ? {} : { options: rule.options }),
    ...proxiedOf(rule),
    ...meshOf(rule),
  };
}

/** Other tunnels must not find by its name what would be refused: an invalid name is the caller's to know at once. */
function meshOf({ service, private: isPrivate }: ClientRule): Pick<Rule, "service" | "private"> {
  if (service !== undefined && !isServiceName(service)) {
    throw new CodedError("RULE_INVALID", `"${service}" is not a service name such as redis`);
  }
  return {
    ...(service === undefined ? {} : { service }),
    ...(isPrivate === undefined ? {} : { private: isPrivate }),
  };
}

function proxiedOf({ proxyProtocol }: ClientRule): { proxyProtocol?: "v2" } {
  return proxyProtocol === undefined ? {} : { proxyProtocol };
}

function firewallOf({ firewall = [] }: ClientRule): Rule["firewall"] {
  return firewall.map((line) => ({ ...line }));
}

function resolveTls(tls: Exclude<TlsEnd, { end: "server" }>, rule: ClientHttpRule): ResolvedTls {
  if (tls.end === "client") return tls;
  const target = parsePlainTarget(tls.target, "for TLS that ends there");
  return { end: "target", destination: { kind: "socket", target, options: {}, ...proxiedOf(rule) } };
}

function parsePlainTarget(text: string, what: string): Extract<ParsedTarget, { kind: "tcp" | "unix" }> {
  const target = parseTarget(text);
  if (target.kind === "tcp" || target.kind === "unix") return target;
  throw new CodedError("TARGET_INVALID", `Cannot use the target "${text}" ${what}: write host:port or unix:/path`);
}

/** A server behind `https://name` is asked for by that name; every other target sees the visitor's Host. */
function impliedHost(target: ParsedTarget): string | undefined {
  if (target.kind !== "https") return undefined;
  return target.port === 443 ? target.host : `${target.host}:${target.port}`;
}

function httpDestination(
  target: ParsedTarget | FetchHandler,
  rule: ClientHttpRule,
): SocketDestination | HandlerDestination {
  if (typeof target === "function") return { kind: "handler", handler: (request) => target(request) };
  if (target.kind === "folder") return { kind: "handler", handler: staticHandler(target.path) };
  return { kind: "socket", target, options: { insecure: rule.insecureUpstream === true }, ...proxiedOf(rule) };
}
