import { CodedError } from "../protocol/errors.ts";
import type { PublishedRule } from "./published_rule.ts";

/** Where a host leads. */
export type Route =
  | { kind: "found"; rule: PublishedRule }
  /** Somebody owns the name, but is not connected. */
  | { kind: "offline" }
  | { kind: "unknown" };

/** How a name is published. */
export interface AddOptions {
  /** Whether its sub-domains lead to the same rule, unless they have one of their own. */
  readonly below: boolean;
  /** Sub-domains that have one of their own although it is not here now: they lead nowhere. @default none */
  readonly isKept?: (host: string) => boolean;
  /** Only {@link Router.find} finds it: to visitors there is nothing at the name. @default false */
  readonly hidden?: boolean;
}

/** Finds the rule for a canonical host name, from memory. */
export class Router {
  readonly #exact = new Map<string, PublishedRule>();
  /** Names whose sub-domains lead to the same rule. */
  readonly #below = new Map<string, Pick<AddOptions, "isKept"> & { readonly rule: PublishedRule }>();
  readonly #hidden = new Set<PublishedRule>();
  readonly #isOffline: (host: string) => boolean;

  /** `isOffline` says whether a host without a rule belongs to a tunnel that is not connected. */
  constructor(isOffline: (host: string) => boolean) {
    this.#isOffline = isOffline;
  }

  /** @throws {CodedError} NAME_TAKEN when another session publishes the name (a one-shot beside its tunnel) */
  add(domain: string, rule: PublishedRule, { below, hidden, ...more }: AddOptions): void {
    if (this.#exact.has(domain)) {
      throw new CodedError("NAME_TAKEN", `"${domain}" is published by another session of this tunnel`);
    }
    this.#exact.set(domain, rule);
    if (below) this.#below.set(domain, { rule, ...more });
    if (hidden === true) this.#hidden.add(rule);
  }

  remove(domain: string, rule: PublishedRule): void {
    if (this.#exact.get(domain) !== rule) return;
    this.#exact.delete(domain);
    this.#below.delete(domain);
    this.#hidden.delete(rule);
  }

  /** The domains of all rules that match. */
  domains(matches: (rule: PublishedRule) => boolean): string[] {
    return [...this.#exact].filter(([, rule]) => matches(rule)).map(([domain]) => domain);
  }

  /** Looks a canonical host up for a visitor. */
  route(host: string): Route {
    const rule = this.find(host);
    if (rule !== undefined) return this.#hidden.has(rule) ? { kind: "unknown" } : { kind: "found", rule };
    return this.#isOffline(host) ? { kind: "offline" } : { kind: "unknown" };
  }

  /** The rule of a canonical host, hidden or not. */
  find(host: string): PublishedRule | undefined {
    return this.#exact.get(host) ?? this.#findAbove(host);
  }

  #findAbove(host: string): PublishedRule | undefined {
    if (this.#below.size === 0) return undefined;
    for (let dot = host.indexOf("."); dot >= 0; dot = host.indexOf(".", dot + 1)) {
      const above = this.#below.get(host.slice(dot + 1));
      if (above !== undefined) return above.isKept?.(host) === true ? undefined : above.rule;
    }
    return undefined;
  }
}
