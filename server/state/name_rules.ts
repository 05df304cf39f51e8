import { CodedError } from "../../protocol/errors.ts";
import { isHostName } from "../../protocol/host_name.ts";
import { type Grants, matchesDomain } from "./grants.ts";

export interface NameRulesOptions {
  /** The domain below which tunnels get names, canonical. */
  readonly domain: string;
  /** The server's own host name or address: nobody else gets it. */
  readonly hostname: string;
  /** Domains below which any tunnel may take a name without proof, canonical. @default none */
  readonly withoutProof?: readonly string[];
}

/** Labels with which browsers, mail programs and certificate authorities find services of the whole domain. */
const RESERVED_LABELS: ReadonlySet<string> = new Set([
  ...["admin", "administrator", "www", "localhost", "wpad", "isatap", "mta-sts", "openpgpkey"],
  ...["mail", "smtp", "imap", "pop", "autodiscover", "autoconfig", "ns", "ns1", "ns2"],
  ...["hostmaster", "postmaster", "webmaster", "abuse", "security"],
]);

/** What names tunnels may have at all, whoever owns them. Names arrive canonical. */
export class NameRules {
  readonly #domain: string;
  readonly #suffix: string;
  readonly #reserved: ReadonlySet<string>;
  readonly #withoutProof: ReadonlySet<string>;

  constructor({ domain, hostname, withoutProof = [] }: NameRulesOptions) {
    this.#domain = domain;
    this.#suffix = `.${domain}`;
    this.#reserved = new Set([domain, hostname, this.unitOf(hostname)]);
    this.#withoutProof = new Set(withoutProof);
  }

  /** Whether the name is the server's to give: below its domain. */
  isBelowDomain(name: string): boolean {
    return name.endsWith(this.#suffix);
  }

  /** The label directly under the domain, `blog.D` for `a.blog.D` and `*.blog.D`; any other name is its own unit. */
  unitOf(name: string): string {
    if (!this.isBelowDomain(name)) return name;
    const labels = name.slice(0, -this.#suffix.length);
    return labels.slice(labels.lastIndexOf(".") + 1) + this.#suffix;
  }

  /** Whether the operator lets everybody have names directly or deeper below this domain: then nobody has them all. */
  isShared(domain: string): boolean {
    return this.#withoutProof.has(domain);
  }

  /** Whether the name is one of the server's own. */
  isOwn(name: string): boolean {
    return this.#reserved.has(name);
  }

  /** Throws `NAME_INVALID` or `NAME_RESERVED` for what no tunnel may have. */
  assertValid(name: string): void {
    const plain = name.startsWith("*.") ? name.slice(2) : name;
    if (plain.split(".").some((label) => label.startsWith("_"))) throw reserved(name);
    if (!isHostName(plain)) throw invalidName(name);
    const unit = this.unitOf(plain);
    if (this.#reserved.has(unit)) throw reserved(name);
    if (this.isBelowDomain(plain)) {
      if (RESERVED_LABELS.has(unit.slice(0, -this.#suffix.length))) throw reserved(name);
    } else if (plain === "localhost" || plain.endsWith(".localhost")) throw reserved(name);
  }

  /** Throws as {@link assertValid}, and `NAME_NOT_ALLOWED` or `DOMAIN_NOT_VERIFIED` for what only a proof gives. */
  assertAllowed(grants: Grants, name: string): void {
    this.assertValid(name);
    if (this.isBelowDomain(name)) return;
    if (name.startsWith("*.")) throw new CodedError("NAME_NOT_ALLOWED", `"${name}" cannot be owned: name each domain`);
    if (namesAbove(name).some((above) => this.#withoutProof.has(above))) return;
    if (grants.domains.some((pattern) => matchesDomain(pattern, name))) return;
    throw new CodedError(
      "DOMAIN_NOT_VERIFIED",
      `"${name}" is not under ${this.#domain}, and not verified for this tunnel: run \`pktriot domain add ${name}\``,
    );
  }

  /** Throws unless the domain is one that can be proven: `NAME_INVALID`, `NAME_RESERVED`, `NAME_NOT_ALLOWED`. */
  assertProvable(domain: string): void {
    this.assertValid(domain);
    if (domain.startsWith("*.") || !domain.includes(".")) throw invalidName(domain);
    if (this.isBelowDomain(domain)) {
      throw new CodedError("NAME_NOT_ALLOWED", `"${domain}" is under ${this.#domain}: it needs no proof`);
    }
    if (this.isShared(domain)) {
      throw new CodedError("NAME_NOT_ALLOWED", `"${domain}" is kept by the operator of the server for all tunnels`);
    }
  }
}

/** The names that a name lies below, nearest first: `b.c` and `c` for `a.b.c`. */
export function namesAbove(name: string): string[] {
  const above: string[] = [];
  for (let dot = name.indexOf("."); dot >= 0; dot = name.indexOf(".", dot + 1)) above.push(name.slice(dot + 1));
  return above;
}

/** The error for what is not a host name. */
export function invalidName(name: string): CodedError {
  return new CodedError("NAME_INVALID", `"${name}" is not a valid host name`);
}

function reserved(name: string): CodedError {
  return new CodedError("NAME_RESERVED", `"${name}" is reserved`);
}
