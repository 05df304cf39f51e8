import { parseAddress } from "../../net/address.ts";
import type { Destination } from "../../protocol/destination.ts";
import type { PublishedRule } from "../published_rule.ts";
import type { PolicyTarget } from "./policy_line.ts";

/** How a rule is asked for, where that matters: the name in a request or in TLS, and whether over TLS. */
export interface RuleAsked {
  readonly host?: string;
  readonly secure?: boolean;
  /** As it was typed; for people. */
  readonly port?: number;
}

/** A rule as the policy sees it: with all its names, however it was found. */
export function ruleTarget({ rule, session }: PublishedRule, { host, secure = false }: RuleAsked = {}): PolicyTarget {
  const { owner, tags, hostname } = session.tunnel;
  const common = { kind: "rule", owner, tags, service: rule.service } as const;
  if (rule.kind === "tcp") return { ...common, port: rule.port, hosts: [hostname] };
  const hosts = host === undefined ? [rule.domain] : [rule.domain, host];
  return { ...common, port: secure ? 443 : 80, hosts };
}

/** A host outside as the policy sees it; `address` is what its name resolves to. */
export function externalTarget({ host, port }: Destination, address?: string): PolicyTarget {
  const literal = parseAddress(host)?.text;
  const known = literal ?? address;
  return {
    ...{ kind: "external", port, hosts: literal === undefined ? [host] : [] },
    ...(known === undefined ? {} : { address: known }),
  };
}
