import { networkContains, parseAddress, parseNetwork } from "../../net/address.ts";
import { isServiceName } from "../../protocol/destination.ts";
import { CodedError } from "../../protocol/errors.ts";
import { withEmbedded } from "./embedded_addresses.ts";
import { matchesHost, parseHostPattern } from "./host_pattern.ts";
import type { MeshIdentity } from "./identity.ts";
import { hasPort, parsePorts } from "./port_range.ts";

/** One line of the policy, as the operator writes it. */
export interface PolicyLine {
  /** `owner:alice`, `tag:db`, `anonymous`, or `*` for every tunnel. */
  readonly from: readonly string[];
  /** `service:redis`, `tag:prod`, `owner:bob`, `port:22123`, `host:*.srv.local`, `cidr:10.0.0.0/8`, or `*`. */
  readonly to: readonly string[];
  readonly action: "allow" | "deny";
}

/** What somebody wants to reach, as far as the policy can tell it apart. */
export interface PolicyTarget {
  /** `rule`: behind a tunnel. `external`: a host that the allow-list has. */
  readonly kind: "rule" | "external";
  /** Of the tunnel behind which it is. */
  readonly owner?: string;
  readonly tags?: readonly string[];
  readonly service?: string | undefined;
  /** The allocated port of a TCP rule, else the port that is dialled. */
  readonly port: number;
  /** Every name it has, so that a line for one of them cannot be passed by using another. */
  readonly hosts: readonly string[];
  /** The address that is dialled, of what is external; undefined when the name is not resolved yet. */
  readonly address?: string;
}

/** What a selector says of a target; `unknown` as long as the address is not known. */
type Match = boolean | "unknown";
type ToSelector = (target: PolicyTarget) => Match;

/** A line that was read. */
export interface CompiledLine {
  readonly action: "allow" | "deny";
  /** From 1. */
  readonly number: number;
  readonly text: string;
  from(identity: MeshIdentity): boolean;
  to(target: PolicyTarget): Match;
}

/** Owner and tag, as tokens have them. */
const LABEL = /^[A-Za-z0-9_.:@-]{1,64}$/;

/** Reads a line. @throws {CodedError} CONFIG_INVALID */
export function compileLine(line: PolicyLine, number: number): CompiledLine {
  const { action } = line;
  const from = line.from.map((text) => fromSelector(text, action));
  const to = line.to.map((text) => toSelector(text, action));
  if (action === "allow" && line.from.includes("anonymous") && line.to.includes("*")) {
    throw new CodedError("CONFIG_INVALID", `"*" is not for anonymous: name what those without credentials may reach`);
  }
  return {
    ...{ action, number, text: describeLine(line) },
    from: (identity) => from.some((matches) => matches(identity)),
    to: (target) => anyOf(to, target),
  };
}

/** One who: a selector of `from`. @throws {CodedError} CONFIG_INVALID */
export function checkFrom(text: string): void {
  fromSelector(text, "deny");
}

/** One what: a selector of `to`. @throws {CodedError} CONFIG_INVALID */
export function checkTo(text: string): void {
  toSelector(text, "deny");
}

/** A line as one line of text. */
function describeLine({ from, to, action }: PolicyLine): string {
  return `${action} from ${from.join(", ")} to ${to.join(", ")}`;
}

/** WARNING: in an allow `*` is every tunnel, never somebody without credentials; in a deny it is everybody. */
function fromSelector(text: string, action: "allow" | "deny"): (identity: MeshIdentity) => boolean {
  if (text === "*") return (identity) => action === "deny" || identity.kind === "tunnel";
  if (text === "anonymous") return ({ kind }) => kind === "anonymous";
  const { kind, value } = splitSelector(text);
  if (!LABEL.test(value)) throw invalid(text, "from");
  switch (kind) {
    case "owner":
      return (identity) => identity.kind === "tunnel" && identity.tunnel.owner === value;
    case "tag":
      return (identity) => identity.kind === "tunnel" && identity.tunnel.tags.includes(value);
    default:
      throw invalid(text, "from");
  }
}

function toSelector(text: string, action: PolicyLine["action"]): ToSelector {
  if (text === "*") return () => true;
  const { kind, value } = splitSelector(text);
  const selector = Object.hasOwn(SELECTORS, kind)
    ? SELECTORS[kind as keyof typeof SELECTORS](value, action)
    : undefined;
  if (selector === undefined) throw invalid(text, "to");
  return selector;
}

/** What each kind of `to` means; undefined when its value is not one. */
const SELECTORS = {
  owner: (value) => LABEL.test(value) ? ({ owner }) => owner === value : undefined,
  tag: (value) => LABEL.test(value) ? ({ tags = [] }) => tags.includes(value) : undefined,
  service: (value) => isServiceName(value) ? ({ service }) => service === value : undefined,
  port: (value) => {
    const ports = parsePorts(value);
    return ports === undefined ? undefined : ({ port }) => hasPort(ports, port);
  },
  host: (value) => {
    const pattern = parseHostPattern(value);
    return pattern === undefined ? undefined : ({ hosts }) => hosts.some((host) => matchesHost(pattern, host));
  },
  cidr: (value, action) => cidrSelector(value, action),
} as const satisfies Record<string, (value: string, action: PolicyLine["action"]) => ToSelector | undefined>;

/** A deny also looks at the IPv4 address that NAT64 and its like would make of an IPv6 address: a name's owner chooses what it answers. */
function cidrSelector(value: string, action: PolicyLine["action"]): ToSelector | undefined {
  try {
    const network = parseNetwork(value);
    return ({ kind, address: text }) => {
      if (kind !== "external") return false;
      if (text === undefined) return "unknown";
      const address = parseAddress(text);
      if (address === null) return false;
      const all = action === "deny" ? withEmbedded(address) : [address];
      return all.some((each) => networkContains(network, each));
    };
  } catch {
    return undefined; // The caller says what a selector looks like.
  }
}

function anyOf(selectors: readonly ToSelector[], target: PolicyTarget): Match {
  let result: Match = false;
  for (const matches of selectors) {
    const match = matches(target);
    if (match === true) return true;
    if (match === "unknown") result = "unknown";
  }
  return result;
}

function splitSelector(text: string): { kind: string; value: string } {
  const colon = text.indexOf(":");
  return colon < 0 ? { kind: "", value: text } : { kind: text.slice(0, colon), value: text.slice(colon + 1) };
}

function invalid(text: string, side: "from" | "to"): CodedError {
  const shown = text.slice(0, 100).replaceAll(/[^\x20-\x7e]/g, "?");
  const forms = side === "from"
    ? "owner:alice, tag:db, anonymous or *"
    : "service:redis, tag:prod, owner:bob, port:22123, host:*.srv.local, cidr:10.0.0.0/8 or *";
  return new CodedError("CONFIG_INVALID", `"${shown}" says not ${side === "from" ? "who" : "what"}: write ${forms}`);
}
