import { CodedError } from "../../protocol/errors.ts";
import { isHostName } from "../../protocol/host_name.ts";
import type { Logger } from "../../net/log.ts";
import type { Store } from "../store/store.ts";
import { type Claimant, Claims, type Taking } from "./claims.ts";
import { type Grants, matchesDomain } from "./grants.ts";
import { generateHostLabel } from "./hostnames.ts";

/** A tunnel that asks for a name. */
export type NameClaimant = Claimant & { readonly grants: Grants };

export interface NamesOptions {
  /** The domain below which tunnels get names, canonical. */
  readonly domain: string;
  /** The server's own host name or address: nobody else gets it. */
  readonly hostname: string;
  readonly hasEnded?: (tunnel: string) => boolean;
  readonly now?: () => number;
  readonly log?: Logger;
}

/** How long a released name is kept from others: its visitors' bookmarks and cookies should not meet a stranger. */
export const NAME_REST_MS = 30 * 24 * 3_600_000;

/** Labels with which browsers, mail programs and certificate authorities find services of the whole domain. */
const RESERVED_LABELS: ReadonlySet<string> = new Set([
  ...["admin", "administrator", "www", "localhost", "wpad", "isatap", "mta-sts", "openpgpkey"],
  ...["mail", "smtp", "imap", "pop", "autodiscover", "autoconfig", "ns", "ns1", "ns2"],
  ...["hostmaster", "postmaster", "webmaster", "abuse", "security"],
]);

/** Random labels tried before giving up: with a billion of them even one collision is rare. */
const MAX_ASSIGN_ATTEMPTS = 10;

/**
 * Ownership of names. Below the server's domain the unit is the label directly under it: who owns `blog.D` owns `a.blog.D`.
 * Other names need a matching pattern in the tunnel's grants and are owned one by one. Names arrive canonical.
 */
export class Names implements Disposable {
  readonly #claims: Claims;
  readonly #options: NamesOptions;
  readonly #suffix: string;
  readonly #reserved: ReadonlySet<string>;

  constructor(store: Store, options: NamesOptions) {
    this.#options = options;
    this.#suffix = `.${options.domain}`;
    this.#reserved = new Set([options.domain, options.hostname, this.unitOf(options.hostname)]);
    this.#claims = new Claims({ ...options, store, prefix: "names.", restMs: NAME_REST_MS });
  }

  /** Loads the names and follows them. */
  open(): Promise<void> {
    return this.#claims.open();
  }

  /** The name whose owner owns `name`: `blog.D` for `a.blog.D` and `*.blog.D`, and any name outside the domain itself. */
  unitOf(name: string): string {
    if (!name.endsWith(this.#suffix)) return name;
    const labels = name.slice(0, -this.#suffix.length);
    return labels.slice(labels.lastIndexOf(".") + 1) + this.#suffix;
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
   * `NAME_INVALID`, `NAME_RESERVED`, `NAME_NOT_ALLOWED`, `NAME_TAKEN`, `NAME_RESTING` or `QUOTA_EXCEEDED`.
   */
  async claim(tunnel: NameClaimant, name: string): Promise<void> {
    this.check(tunnel.grants, name);
    const unit = this.unitOf(name);
    const taking = await this.#claims.take(unit, tunnel, { quota: tunnel.grants.maxNames });
    assertTaken(taking, unit, tunnel.grants.maxNames);
  }

  /** What `claim` checks without asking who owns the name. */
  check(grants: Grants, name: string): void {
    const plain = name.startsWith("*.") ? name.slice(2) : name;
    if (plain.split(".").some((label) => label.startsWith("_"))) throw reserved(name);
    if (!isHostName(plain)) throw new CodedError("NAME_INVALID", `"${name}" is not a valid host name`);
    const unit = this.unitOf(plain);
    if (this.#reserved.has(unit)) throw reserved(name);
    if (unit.endsWith(this.#suffix)) {
      if (RESERVED_LABELS.has(unit.slice(0, -this.#suffix.length))) throw reserved(name);
      return;
    }
    if (plain === "localhost" || plain.endsWith(".localhost")) throw reserved(name);
    if (plain !== name || !grants.domains.some((pattern) => matchesDomain(pattern, name))) {
      throw new CodedError(
        "NAME_NOT_ALLOWED",
        `"${name}" is not under ${this.#options.domain}, and not granted to this tunnel`,
      );
    }
  }

  /** Gives a new random name `adjective-noun-12345.D` to the tunnel, outside its quota. */
  async assign(tunnel: Claimant): Promise<string> {
    for (let attempt = 0; attempt < MAX_ASSIGN_ATTEMPTS; attempt++) {
      const name = generateHostLabel() + this.#suffix;
      // Whoever held it in the last 30 days keeps it from resting too: `taken-now` means that it was free for everybody.
      if (this.#claims.get(name) !== undefined) continue;
      const taking = await this.#claims.take(name, tunnel, { quota: 0, assigned: true });
      if (taking.kind === "taken-now") return name;
    }
    throw new CodedError("NAME_TAKEN", "No free host name was found; try again");
  }

  /** Gives the name up; it then rests. Throws `NAME_NOT_ALLOWED` for a name that is not the tunnel's, or its assigned one. */
  async release(tunnel: Claimant, name: string): Promise<void> {
    if (!isHostName(name)) throw new CodedError("NAME_INVALID", `"${name}" is not a valid host name`);
    if (!await this.#claims.release(this.unitOf(name), tunnel.id)) {
      throw new CodedError("NAME_NOT_ALLOWED", `"${name}" was not claimed by this tunnel, so it cannot release it`);
    }
  }

  /** Lets everything rest that a removed tunnel owned. */
  releaseAll(tunnel: string): Promise<void> {
    return this.#claims.releaseAll(tunnel);
  }

  /** The operator makes a resting name free at once; false when it does not rest. */
  async endRest(name: string): Promise<boolean> {
    return isHostName(name) && await this.#claims.endRest(this.unitOf(name));
  }

  /** See {@link Claims.sweep}. */
  sweep(exists: (tunnel: string) => boolean): Promise<void> {
    return this.#claims.sweep(exists);
  }

  [Symbol.dispose](): void {
    this.#claims[Symbol.dispose]();
  }
}

function assertTaken(taking: Taking, name: string, quota: number): void {
  switch (taking.kind) {
    case "taken-now":
    case "had-already":
      return;
    case "taken-by-other":
      throw new CodedError("NAME_TAKEN", `"${name}" belongs to another tunnel`);
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

function reserved(name: string): CodedError {
  return new CodedError("NAME_RESERVED", `"${name}" is reserved`);
}
