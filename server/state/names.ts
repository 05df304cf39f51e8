import { CodedError } from "../../protocol/errors.ts";
import { isHostName } from "../../protocol/host_name.ts";
import type { Logger } from "../../net/log.ts";
import type { Store } from "../store/store.ts";
import { type Claim, type Claimant, Claims, type Taking } from "./claims.ts";
import type { Grants } from "./grants.ts";
import { generateHostLabel } from "./hostnames.ts";
import { invalidName, NameRules, type NameRulesOptions, namesAbove } from "./name_rules.ts";

/** A tunnel that asks for a name. */
export type NameClaimant = Claimant & { readonly grants: Grants };

export interface NamesOptions extends NameRulesOptions {
  readonly hasEnded?: (tunnel: string) => boolean;
  readonly now?: () => number;
  readonly log?: Logger;
}

/** How long a released name is kept from others: its visitors' bookmarks and cookies should not meet a stranger. */
export const NAME_REST_MS = 30 * 24 * 3_600_000;

/** Random labels tried before giving up: with a billion of them even one collision is rare. */
const MAX_ASSIGN_ATTEMPTS = 10;

/** A domain that its owner has proven; `since` is ms since the epoch. */
export interface ProvenDomain {
  readonly domain: string;
  readonly tunnel: string;
  readonly since: number;
}

/**
 * Ownership of names. Below the server's domain the unit is the label directly under it: who owns `blog.D` owns `a.blog.D`.
 * Elsewhere a domain that was proven is a unit with all that is below it, except what a more specific claim owns. Other names
 * need a matching pattern in the tunnel's grants, or lie where no proof is asked for, and are owned one by one. Names arrive
 * canonical.
 */
export class Names implements Disposable {
  readonly #claims: Claims;
  readonly #rules: NameRules;
  readonly #domain: string;
  readonly #listeners = new Set<(domain: string) => void>();

  constructor(store: Store, options: NamesOptions) {
    this.#rules = new NameRules(options);
    this.#domain = options.domain;
    this.#claims = new Claims({
      ...{ ...options, store, prefix: "names.", restMs: NAME_REST_MS },
      onChange: (name, next, previous) => {
        if (isProof(next) || isProof(previous)) this.#tell(name);
      },
    });
  }

  /** Loads the names and follows them. */
  open(): Promise<void> {
    return this.#claims.open();
  }

  /**
   * The name whose owner owns `name`: `blog.D` for `a.blog.D` and `*.blog.D`; `example.com` for `a.example.com` when that is proven
   * and nothing nearer is; any other name outside the domain itself.
   */
  unitOf(name: string): string {
    const unit = this.#rules.unitOf(name);
    if (this.#rules.isBelowDomain(name) || this.#rules.isOwn(name)) return unit;
    return this.#claims.ownerOf(name) === undefined ? this.#provenAbove(name) ?? unit : unit;
  }

  /** The id of the tunnel that owns `name`; from memory, for routing. */
  ownerOf(name: string): string | undefined {
    return this.#claims.ownerOf(this.unitOf(name));
  }

  /** Whether the tunnel (or its parent) owns `name`; from memory. */
  mayUse(tunnel: Claimant, name: string): boolean {
    return this.#claims.mayUse(tunnel, this.unitOf(name));
  }

  /** The names that the tunnel owns itself, its assigned one included. */
  listOf(tunnel: string): string[] {
    return [...this.#claims.ofTunnel(tunnel)].map(([name]) => name).sort();
  }

  /**
   * Makes the tunnel the owner of the name (that is, of its unit); a name it owns already, or its parent owns, is fine too. Throws
   * `NAME_INVALID`, `NAME_RESERVED`, `NAME_NOT_ALLOWED`, `DOMAIN_NOT_VERIFIED`, `NAME_TAKEN`, `NAME_RESTING` or `QUOTA_EXCEEDED`.
   */
  async claim(tunnel: NameClaimant, name: string): Promise<void> {
    this.#rules.assertValid(name);
    const unit = this.unitOf(name);
    // A proof needs no grant; and what it covers is never taken here, also not when it ends at this moment.
    if (this.#claims.isProven(unit) && this.mayUse(tunnel, name)) return;
    if (this.#claims.isProven(unit)) throw nameTaken(name);
    this.check(tunnel.grants, name);
    const taking = await this.#claims.take(unit, tunnel, { quota: tunnel.grants.maxNames });
    assertTaken(taking, unit, tunnel.grants.maxNames);
  }

  /** What `claim` checks without asking who owns the name. */
  check(grants: Grants, name: string): void {
    this.#rules.assertAllowed(grants, name);
  }

  /**
   * Makes the tunnel, which has just proven that the domain is theirs, the owner of it and of what is below it; it may rest for
   * others: what the DNS says now is stronger than what was. Throws `NAME_INVALID`, `NAME_RESERVED`, `NAME_NOT_ALLOWED`,
   * `NAME_TAKEN` or `QUOTA_EXCEEDED`.
   */
  async prove(tunnel: NameClaimant, domain: string): Promise<void> {
    this.assertProvable(domain);
    const taking = await this.#claims.take(domain, tunnel, { quota: tunnel.grants.maxNames, proven: true });
    assertTaken(taking, domain, tunnel.grants.maxNames);
  }

  /** Throws unless the domain is one that can be proven: `NAME_INVALID`, `NAME_RESERVED`, `NAME_NOT_ALLOWED`. */
  assertProvable(domain: string): void {
    this.#rules.assertProvable(domain);
  }

  /** Whether the name itself (not only one above it) belongs to another tunnel; from memory. */
  isOthers(tunnel: Claimant, name: string): boolean {
    return this.unitOf(name) === name && this.ownerOf(name) !== undefined && !this.mayUse(tunnel, name);
  }

  /** Whether the owner of the domain has proven that it is theirs; from memory. */
  isProven(domain: string): boolean {
    return this.#claims.isProven(domain);
  }

  /** The domains that the tunnel owns itself and has proven, or those of all; from memory. */
  provenOf(tunnel?: string): ProvenDomain[] {
    const owned = [...this.#claims.ofTunnel(tunnel)];
    return owned.filter(([, claim]) => isProof(claim))
      .map(([domain, { tunnel: owner, since }]) => ({ domain, tunnel: owner, since }));
  }

  /** Tells of each domain that was proven, or was proven and is given up, by any process, until disposed. */
  watchProven(listener: (domain: string) => void): Disposable {
    this.#listeners.add(listener);
    return { [Symbol.dispose]: () => void this.#listeners.delete(listener) };
  }

  /** Gives a new random name `adjective-noun-12345.D` to the tunnel, outside its quota. */
  async assign(tunnel: Claimant): Promise<string> {
    for (let attempt = 0; attempt < MAX_ASSIGN_ATTEMPTS; attempt++) {
      const name = `${generateHostLabel()}.${this.#domain}`;
      // Whoever held it in the last 30 days keeps it from resting too: `taken-now` means that it was free for everybody.
      if (this.#claims.get(name) !== undefined) continue;
      const taking = await this.#claims.take(name, tunnel, { quota: 0, assigned: true });
      if (taking.kind === "taken-now") return name;
    }
    throw new CodedError("NAME_TAKEN", "No free host name was found; try again");
  }

  /**
   * Gives the name up; it then rests. Throws `NAME_NOT_ALLOWED` for a name that is not the tunnel's, or its assigned one, or is the
   * tunnel's as a part of a proven domain only.
   */
  async release(tunnel: Claimant, name: string): Promise<void> {
    if (!isHostName(name)) throw invalidName(name);
    const unit = this.#rules.unitOf(name);
    if (await this.#claims.release(unit, tunnel.id)) return;
    const covering = this.unitOf(name);
    throw new CodedError(
      "NAME_NOT_ALLOWED",
      covering !== unit && this.mayUse(tunnel, name)
        ? `"${name}" is a part of the verified domain "${covering}", and not owned by itself`
        : `"${name}" was not claimed by this tunnel, so it cannot release it`,
    );
  }

  /** Lets everything rest that a removed tunnel owned. */
  releaseAll(tunnel: string): Promise<void> {
    return this.#claims.releaseAll(tunnel);
  }

  /** The operator makes a resting name free at once; false when it does not rest. */
  async endRest(name: string): Promise<boolean> {
    return isHostName(name) && await this.#claims.endRest(this.#rules.unitOf(name));
  }

  /** See {@link Claims.sweep}. */
  sweep(exists: (tunnel: string) => boolean): Promise<void> {
    return this.#claims.sweep(exists);
  }

  [Symbol.dispose](): void {
    this.#claims[Symbol.dispose]();
    this.#listeners.clear();
  }

  /** The nearest proven domain above the name; one that the operator keeps for all is nobody's, and ends the search. */
  #provenAbove(name: string): string | undefined {
    for (const above of namesAbove(name)) {
      if (this.#rules.isShared(above)) return undefined;
      if (this.#claims.isProven(above)) return above;
    }
    return undefined;
  }

  #tell(domain: string): void {
    for (const listener of this.#listeners) listener(domain);
  }
}

function isProof(claim: Claim | undefined): boolean {
  return claim?.kind === "owned" && claim.proven === true;
}

function assertTaken(taking: Taking, name: string, quota: number): void {
  switch (taking.kind) {
    case "taken-now":
    case "had-already":
      return;
    case "taken-by-other":
      throw nameTaken(name);
    case "resting": {
      const until = new Date(taking.until).toISOString().slice(0, 10);
      throw new CodedError("NAME_RESTING", `"${name}" was released by another tunnel and rests until ${until}`);
    }
    case "quota":
      throw new CodedError(
        "QUOTA_EXCEEDED",
        `This tunnel may own ${quota} names beside its assigned one, and has them`,
      );
    default:
      return taking satisfies never;
  }
}

/** The error for what is another tunnel's: it says that, and never whose. */
export function nameTaken(name: string): CodedError {
  return new CodedError("NAME_TAKEN", `"${name}" belongs to another tunnel`);
}
