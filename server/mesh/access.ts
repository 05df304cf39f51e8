import { parseAddress } from "../../net/address.ts";
import type { Logger } from "../../net/log.ts";
import { type Destination, formatDestination } from "../../protocol/destination.ts";
import { CodedError, type ErrorName, ERRORS } from "../../protocol/errors.ts";
import type { PublishedRule } from "../published_rule.ts";
import { type AllowEntry, AllowList } from "./allow_list.ts";
import { deadEntryReason } from "./dead_entry.ts";
import { forbiddenReason } from "./forbidden.ts";
import { identityFacts, type MeshIdentity } from "./identity.ts";
import type { OwnAddresses } from "./own_addresses.ts";
import { type Decision, Policy } from "./policy.ts";
import type { PolicyLine } from "./policy_line.ts";
import type { MeshProxyOptions } from "./proxies/proxy_options.ts";
import { externalTarget, type RuleAsked, ruleTarget } from "./policy_target.ts";

/** What may be reached through the mesh, by whom, and by what ways beside the clients. */
export interface MeshOptions extends MeshProxyOptions {
  /** Hosts outside, as CIDR, name or `*.name`, with or without ports. @default none */
  readonly allow?: readonly string[];
  /** The first line that matches decides. @default within an owner everything, between owners nothing, outside what `allow` has */
  readonly policy?: readonly PolicyLine[];
  /** Resolvers for the names of `allow`, `address` or `address:port`; the first is asked. @default what the system uses */
  readonly resolvers?: readonly string[];
}

/** Refusals that {@link Access} itself writes into the log, with what only the operator may know: one line for each is enough. */
export const LOGGED_BY_ACCESS: ReadonlySet<ErrorName> = new Set<ErrorName>([
  ...["DESTINATION_DENIED", "DESTINATION_FORBIDDEN"] as const,
]);

/** What deciding needs beside its options. */
export interface AccessParts {
  readonly own: OwnAddresses;
  readonly log: Logger;
}

/** Decides who may go where: the allow-list says what exists outside, the policy who may. */
export class Access {
  readonly allow: AllowList;
  readonly policy: Policy;
  readonly #parts: AccessParts;

  /** @throws {CodedError} CONFIG_INVALID */
  constructor(parts: AccessParts, { allow = [], policy = [] }: MeshOptions) {
    this.allow = new AllowList(allow);
    this.policy = new Policy(policy);
    this.#parts = parts;
  }

  /** Whether an entry of the allow-list may ever lead somewhere. */
  mayWork(entry: AllowEntry): boolean {
    return deadEntryReason(entry, { allow: this.allow, own: this.#parts.own }) === undefined;
  }

  /** What the policy says of somebody and a rule. */
  decide(identity: MeshIdentity, rule: PublishedRule, asked?: RuleAsked): Decision {
    return this.policy.decide(identity, ruleTarget(rule, asked));
  }

  /** @throws {CodedError} DESTINATION_DENIED */
  judgeRule(identity: MeshIdentity, rule: PublishedRule, asked: RuleAsked): void {
    const decision = this.decide(identity, rule, asked);
    if (decision.action === "deny") throw this.#denied(identity, askedText(asked) ?? rule.id, decision);
  }

  /** Those of several rules that somebody may reach. @throws {CodedError} DESTINATION_DENIED when there are none */
  allowedOf(identity: MeshIdentity, rules: readonly PublishedRule[], asked: RuleAsked): readonly PublishedRule[] {
    const allowed = rules.filter((rule) => this.decide(identity, rule, asked).action === "allow");
    const [first] = rules;
    if (allowed.length === 0 && first !== undefined) this.judgeRule(identity, first, asked);
    return allowed;
  }

  /**
   * Whether somebody may go to a host outside; `address` is what its name resolves to, if that is known.
   * @throws {CodedError} DESTINATION_UNKNOWN, DESTINATION_DENIED, DESTINATION_FORBIDDEN
   */
  judgeExternal(identity: MeshIdentity, destination: Destination, address?: string): void {
    const { host, port } = destination;
    const to = formatDestination(destination);
    if (this.allow.find(host, port) === undefined) {
      throw new CodedError("DESTINATION_UNKNOWN", `The server does not allow ${to}`);
    }
    const decision = this.policy.decide(identity, externalTarget(destination, address));
    if (decision.action === "deny") throw this.#denied(identity, to, decision);
    const literal = parseAddress(host);
    const dialled = literal ?? (address === undefined ? null : parseAddress(address));
    if (dialled === null) return;
    const { own, log } = this.#parts;
    const reason = forbiddenReason(dialled, port, { allow: this.allow, own, byName: literal === null });
    if (reason === undefined) return;
    log.warn("mesh destination forbidden", {
      ...{ ...identityFacts(identity), to, code: ERRORS.DESTINATION_FORBIDDEN.code, reason },
    });
    // What a name inside stands for is nothing to tell.
    throw new CodedError("DESTINATION_FORBIDDEN", `${to} leads to an address that the allow-list does not permit`);
  }

  /** The line that decides is told to the operator alone. */
  #denied(identity: MeshIdentity, to: string, { reason }: Decision): CodedError {
    this.#parts.log.info("mesh destination denied", {
      ...{ ...identityFacts(identity), to, code: ERRORS.DESTINATION_DENIED.code, reason },
    });
    return new CodedError("DESTINATION_DENIED", `The access policy does not let you reach ${to}`);
  }
}

function askedText({ host, port }: RuleAsked): string | undefined {
  return host === undefined || port === undefined ? host : formatDestination({ host, port });
}
