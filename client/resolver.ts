import { CodedError } from "../protocol/errors.ts";
import { type HttpRule, type Rule, ruleId } from "../protocol/rule.ts";
import type { StreamOpen } from "../protocol/stream_message.ts";
import type { AcmeCertificates } from "./certificates/acme_certificates.ts";
import { expiryWarning, withExpiry } from "./certificates/expiry.ts";
import { defaultPage } from "./default_page.ts";
import type { HandlerDestination, SocketDestination } from "./destination.ts";
import type { ClientHttpRule, ClientRule } from "./options.ts";
import { type ResolvedRule, resolveRule } from "./resolve_rule.ts";
import { type CertificateFileEvents, RuleChecks } from "./rule_checks.ts";
import { faultOf, makeEntry, type RuleEntry, siteOf, wantsAuthority, warningOf } from "./rule_entry.ts";
import type { TlsSite } from "./tls_site.ts";

/** So much of a reason the server takes. */
const MAX_MESSAGE_CHARACTERS = 1024;

/** Where a stream goes on this side. */
export type Destination =
  | SocketDestination
  | HandlerDestination
  /** TLS that ends here. */
  | { readonly kind: "tls"; readonly site: TlsSite };

/** What a resolver needs beside rules. */
export interface ResolverOptions {
  /** Where certificates come from that rules want from an authority. */
  readonly acme?: AcmeCertificates | undefined;
  readonly files?: CertificateFileEvents;
}

/** Answers "where does this stream go?" for the streams that the server opens: by rule. */
export class Resolver {
  readonly #acme: AcmeCertificates | undefined;
  readonly #checks: RuleChecks;
  #entries: ReadonlyMap<string, RuleEntry> = new Map();

  constructor({ acme, files }: ResolverOptions = {}) {
    this.#acme = acme;
    this.#checks = new RuleChecks(files);
  }

  /**
   * Takes the whole new set of rules, or none of it; gives what the server is to publish.
   * What nobody could be let in by (a password hash, a network, an option that needs plaintext) closes its own rule.
   * @throws {CodedError} TARGET_INVALID, RULE_INVALID
   */
  set(rules: readonly ClientRule[], hostname: string): Rule[] {
    const wanted = new Map<string, ResolvedRule>();
    for (const rule of rules.length > 0 ? rules : [defaultRule(hostname)]) {
      const resolved = resolveRule(rule, hostname);
      const id = ruleId(resolved.published);
      if (wanted.has(id)) throw new CodedError("RULE_INVALID", `There are two rules for ${id}`);
      if (wantsAuthority(resolved) && this.#acme === undefined) {
        throw new CodedError("RULE_INVALID", `${id} wants a certificate from an authority, and none is set up`);
      }
      wanted.set(id, resolved);
    }
    this.#take(wanted);
    return this.published();
  }

  /** What the server is to publish, as things were at the last look. */
  published(): Rule[] {
    return [...this.#entries.values()].map((entry) => {
      const { published } = entry;
      const fault = faultOf(entry);
      return fault === undefined
        ? { ...published, ...this.#certificateFacts(entry) }
        : { ...published, fault: wireOf(fault) };
    });
  }

  /** What of {@link published} changes by itself, as text that can be compared. */
  condition(): string {
    return JSON.stringify(
      [...this.#entries].map(([id, entry]) => [id, faultOf(entry)?.message, this.#certificateFacts(entry)]),
    );
  }

  /** Looks at what rules depend on; gives the rules that were closed or opened by it. Never rejects. */
  async look(): Promise<{ rule: string; fault: CodedError | undefined }[]> {
    const entries = [...this.#entries];
    const before = entries.map(([, entry]) => faultOf(entry)?.message);
    await this.#checks.look();
    return entries.map(([rule, entry]) => ({ rule, fault: faultOf(entry) })).filter(({ fault }, at) =>
      fault?.message !== before[at]
    );
  }

  /** Domains of rules that get their certificate from an authority; the server is to agree first. */
  get acmeDomains(): ReadonlyMap<string, string> {
    const rules = [...this.#entries].flatMap(([id, { published }]) =>
      published.kind === "http" && published.acme === true ? [[id, published.domain] as const] : []
    );
    return new Map(rules);
  }

  /** The site of a rule whose TLS ends here, while the rule is open: also for connections that were there before it was closed. */
  site(rule: string): TlsSite | undefined {
    const entry = this.#entries.get(rule);
    return entry === undefined || faultOf(entry) !== undefined ? undefined : siteOf(entry);
  }

  /** @throws {CodedError} NO_SUCH_RULE, or why the rule is closed */
  resolve(open: StreamOpen): Destination {
    const entry = this.#entries.get(open.rule);
    const destination = entry === undefined ? undefined : destinationOf(entry, open.protocol);
    if (entry === undefined || destination === undefined) {
      throw new CodedError("NO_SUCH_RULE", `The client has no rule ${open.rule}`);
    }
    const fault = faultOf(entry);
    if (fault !== undefined) throw fault;
    return destination;
  }

  /** Nothing is kept for the next request any more. */
  close(): void {
    for (const entry of this.#entries.values()) siteOf(entry)?.close();
  }

  /** How the certificate fares with which the TLS of a rule ends here. */
  #certificateFacts(entry: RuleEntry): Pick<HttpRule, "warning" | "notAfter"> {
    const site = siteOf(entry);
    if (site === undefined) return {};
    const { certificate: pair } = site;
    const expiry = pair === undefined ? undefined : expiryWarning(pair);
    const trouble = wantsAuthority(entry) ? this.#acme?.troubleOf(site.domain) : warningOf(entry);
    const warning = trouble === undefined ? expiry : withExpiry(trouble, expiry);
    return {
      ...(pair === undefined ? {} : { notAfter: pair.notAfter.toISOString() }),
      ...(warning === undefined ? {} : { warning: wireOf(warning) }),
    };
  }

  #take(wanted: ReadonlyMap<string, ResolvedRule>): void {
    const before = this.#entries;
    const parts = { checks: this.#checks, acme: this.#acme };
    this.#entries = new Map(
      [...wanted].map(([id, rule]) => [id, makeEntry(rule, { ...parts, before: before.get(id) })]),
    );
    this.#checks.keep();
    for (const [id, entry] of before) {
      if (siteOf(entry) !== siteOf(this.#entries.get(id))) siteOf(entry)?.close();
    }
  }
}

function destinationOf(entry: RuleEntry, protocol: StreamOpen["protocol"]): Destination | undefined {
  switch (protocol) {
    case "http":
    case "tcp":
      return entry.destination;
    case "tls":
      return entry.tls;
    case "acme":
      return entry.challenges;
    default:
      return protocol satisfies never;
  }
}

function wireOf({ code, message }: CodedError): { code: string; message: string } {
  return { code, message: message.slice(0, MAX_MESSAGE_CHARACTERS) };
}

function defaultRule(hostname: string): ClientHttpRule {
  return { kind: "http", domain: hostname, target: defaultPage(hostname) };
}
