import type { ChannelStream } from "../net/channel_stream.ts";
import { CodedError } from "../protocol/errors.ts";
import { type Rule, ruleId } from "../protocol/rule.ts";
import type { StreamOpen } from "../protocol/stream_message.ts";
import { compileFirewall } from "./firewall.ts";
import type { HttpRoute } from "../net/http/proxy/http_context.ts";
import { type CompiledHttpOptions, compileRuleOptions } from "../net/http/proxy/rule_options.ts";
import type { Tunnel } from "./state/tunnels.ts";

/** The session that a rule belongs to: opens streams to its client. */
export interface StreamOpener {
  readonly tunnel: Tunnel;
  /** The client takes no new work. */
  readonly draining: boolean;
  /** The client may be gone: its control channel is lost, or silent for longer than it should be. */
  readonly doubtful: boolean;
  /** @throws {CodedError} TUNNEL_OFFLINE, TUNNEL_BUSY */
  open(message: Omit<StreamOpen, "kind">): Promise<ChannelStream>;
}

/** How a request came. */
export interface RouteOptions {
  /** Through the mesh: the firewall is not for it. */
  readonly mesh?: Pick<StreamOpen, "source">;
  /** What the target gets as Host, unless the rule says that. @default what the visitor sent */
  readonly host?: string;
  /** What it gets as X-Forwarded-Host. @default what the visitor sent */
  readonly forwardedHost?: string;
}

/** The keep-alive connections to the target of an HTTP rule. */
export interface Upstreams {
  /** The way of one request to the target. */
  route(options?: RouteOptions): HttpRoute;
  /** Gives every idle one back. */
  closeIdle(): void;
  /** Gives the longest idle one back; false when there is none. */
  closeOldest(): boolean;
}

/** A visitor's connection or exchange that is under way. */
export interface Visit {
  readonly address: string;
  /** The firewall is not for it: it comes through the mesh. */
  readonly exempt?: boolean;
  reset(error: CodedError): void;
}

/** A rule that visitors can reach now. */
export class PublishedRule {
  readonly id: string;
  readonly session: StreamOpener;
  /** Grows when the target changes, so that keep-alive connections to the old one are not used again. */
  revision = 1;
  /** Keep-alive connections to the target; HTTP rules only. */
  upstreams: Upstreams | null = null;
  /** Whether visitors can no longer reach it. */
  withdrawn = false;
  readonly #visits = new Set<Visit>();
  #rule: Rule;
  #allows: (address: string) => boolean;
  #options: CompiledHttpOptions | undefined;

  /** @throws {CodedError} NETWORK_INVALID, RULE_INVALID, OPTION_NEEDS_PLAINTEXT */
  constructor(session: StreamOpener, rule: Rule) {
    this.id = ruleId(rule);
    this.session = session;
    this.#rule = rule;
    this.#allows = compileFirewall(rule.firewall);
    this.#options = compileRuleOptions(rule);
  }

  get rule(): Rule {
    return this.#rule;
  }

  /** What is done to requests and answers where they are plain here; they count from the next request on. */
  get options(): CompiledHttpOptions | undefined {
    return this.#options;
  }

  /** Whether the firewall lets an address in. */
  allows(address: string): boolean {
    return this.#allows(address);
  }

  /** Takes an edit: it counts from the next connection or request on, and resets what the firewall now drops. @throws {CodedError} NETWORK_INVALID, RULE_INVALID, OPTION_NEEDS_PLAINTEXT */
  update(rule: Rule): void {
    const allows = compileFirewall(rule.firewall);
    const compiled = compileRuleOptions(rule);
    // Options that are the same remember who has proven a password.
    if (!isSame(optionsOf(this.#rule), optionsOf(rule))) this.#options = compiled;
    if (leadsElsewhere(this.#rule, rule)) {
      this.revision++;
      this.upstreams?.closeIdle();
    }
    this.#rule = rule;
    this.#allows = allows;
    for (const visit of [...this.#visits]) {
      if (visit.exempt !== true && !allows(visit.address)) visit.reset(new CodedError("FORBIDDEN"));
    }
  }

  /** Notes a visit, which an edit of the firewall may end. */
  enter(visit: Visit): void {
    this.#visits.add(visit);
  }

  /** The visit has ended. */
  leave(visit: Visit): void {
    this.#visits.delete(visit);
  }

  /** Number of visits under way. */
  get visits(): number {
    return this.#visits.size;
  }

  /** The rule is gone: so are its streams. */
  withdraw(error: CodedError): void {
    this.withdrawn = true;
    this.upstreams?.closeIdle();
    for (const visit of [...this.#visits]) visit.reset(error);
  }
}

/** Whether the bytes of its TLS visitors go to the client as they are. */
export function passesOn({ rule }: Pick<PublishedRule, "rule">): boolean {
  return rule.kind === "http" && (rule.tls === "client" || rule.tls === "target");
}

function leadsElsewhere(before: Rule, after: Rule): boolean {
  return !isSame(leadOf(before), leadOf(after));
}

/** The rule without what says nothing about where it leads: who may come in, what is done to requests, and how it fares. */
function leadOf(rule: Rule): unknown {
  const ours = { firewall: null, options: null, warning: null, notAfter: null, service: null };
  // Set before it as well, so that the order of the keys is the same whatever the rule has.
  return { ...ours, ...rule, ...ours };
}

function optionsOf(rule: Rule): unknown {
  return rule.kind === "http" ? rule.options : undefined;
}

function isSame(before: unknown, after: unknown): boolean {
  return JSON.stringify(before) === JSON.stringify(after);
}
