import type { CodedError } from "../protocol/errors.ts";
import type { HttpRule, Rule } from "../protocol/rule.ts";
import type { AcmeCertificates } from "./certificates/acme_certificates.ts";
import { challengeHandler } from "./challenge_handler.ts";
import type { HandlerDestination, SocketDestination } from "./destination.ts";
import type { ClientHttpRule, Target } from "./options.ts";
import type { ResolvedRule, ResolvedTls } from "./resolve_rule.ts";
import type { RuleCheck } from "./rule_check.ts";
import type { RuleChecks } from "./rule_checks.ts";
import { TlsSite } from "./tls_site.ts";

/** A rule, as it is on this side. */
export interface RuleEntry {
  /** What the server is to publish, apart from a fault. */
  readonly published: Rule;
  /** Where HTTP and TCP go. */
  readonly destination: SocketDestination | HandlerDestination;
  /** Where TLS goes: bytes to the target, or it ends here. */
  readonly tls: SocketDestination | { readonly kind: "tls"; readonly site: TlsSite } | undefined;
  /** Where requests of a certificate authority go. */
  readonly challenges: HandlerDestination | undefined;
  /** What must be in order. */
  readonly checks: readonly RuleCheck[];
  /** What an HTTP rule was made from, as far as its published form does not show it. */
  readonly origin: Origin | undefined;
}

interface Origin {
  readonly target: Target;
  readonly insecure: boolean;
  readonly generation: number;
  /** What a site was made from. */
  readonly site: string;
}

/** What entries are made with. */
export interface EntryParts {
  /** The entry of the same rule until now. */
  readonly before: RuleEntry | undefined;
  readonly checks: RuleChecks;
  readonly acme: AcmeCertificates | undefined;
}

/** Whether the certificate of a rule comes from an authority. */
export function wantsAuthority({ published }: Pick<ResolvedRule, "published">): boolean {
  return published.kind === "http" && published.acme === true;
}

/** A rule with all that it needs on this side; what a rule had before it keeps, as far as it is still the same. */
export function makeEntry(resolved: ResolvedRule, parts: EntryParts): RuleEntry {
  const { rule, published, destination, tls, folder, fault } = resolved;
  const checks = [
    ...(fault === undefined ? [] : [brokenFor(fault)]),
    ...(folder === undefined ? [] : [parts.checks.folder(folder)]),
  ];
  const plain = { published, destination, tls: undefined, challenges: undefined, checks, origin: undefined };
  if (rule.kind !== "http" || published.kind !== "http") return plain;
  const origin = nextOrigin(parts.before?.origin, rule, published);
  const entry = {
    ...plain,
    origin,
    published: withGeneration(published, origin),
    challenges: challengesOf(resolved, parts),
  };
  if (tls === undefined) return entry;
  return tls.end === "target" ? { ...entry, tls: tls.destination } : endTls(entry, { tls, parts });
}

/** What only an edit of the rule makes good. */
function brokenFor(fault: CodedError): RuleCheck {
  return { fault, look: () => Promise.resolve() };
}

/** Why a rule is closed. */
export function faultOf({ checks }: RuleEntry): CodedError | undefined {
  return checks.find(({ fault }) => fault !== undefined)?.fault;
}

/** What is amiss with what a rule depends on although it is open. */
export function warningOf({ checks }: RuleEntry): CodedError | undefined {
  return checks.find(({ warning }) => warning !== undefined)?.warning;
}

/** The site of a rule whose TLS ends here. */
export function siteOf(entry: RuleEntry | undefined): TlsSite | undefined {
  return entry?.tls?.kind === "tls" ? entry.tls.site : undefined;
}

interface EndingTls {
  readonly tls: Extract<ResolvedTls, { end: "client" }>;
  readonly parts: EntryParts;
}

/** A site goes on, with its connections to the target, while nothing about it is changed. */
function endTls(entry: RuleEntry, { tls, parts }: EndingTls): RuleEntry {
  const { before, acme, checks } = parts;
  const { domain, hostHeader } = entry.published as HttpRule;
  const pem = tls.certificate === "acme" ? undefined : checks.certificate({ ...tls.certificate, domain });
  const kept = before?.origin?.site === entry.origin?.site ? siteOf(before) : undefined;
  const site = kept ?? new TlsSite({
    ...{ domain, hostHeader, destination: entry.destination },
    certificate: () => pem === undefined ? acme?.pairOf(domain) : pem.pair,
    challenges: pem === undefined ? acme?.challenges : undefined,
  });
  return { ...entry, tls: { kind: "tls", site }, checks: pem === undefined ? entry.checks : [...entry.checks, pem] };
}

function challengesOf(resolved: ResolvedRule, { acme }: EntryParts): HandlerDestination | undefined {
  if (!wantsAuthority(resolved) || acme === undefined) return undefined;
  return { kind: "handler", handler: challengeHandler(acme.challenges) };
}

/** Another handler looks the same to the server, which must not go on with connections to the one before. */
function nextOrigin(before: Origin | undefined, rule: ClientHttpRule, published: HttpRule): Origin {
  const { target, insecureUpstream: insecure = false, tls } = rule;
  const same = before === undefined || (before.target === target && before.insecure === insecure);
  const generation = (before?.generation ?? 0) + (same ? 0 : 1);
  return {
    target,
    insecure,
    generation,
    site: JSON.stringify([published.domain, { ...published, firewall: null }, tls, generation]),
  };
}

function withGeneration(published: HttpRule, { generation }: Origin): HttpRule {
  return generation > 0 ? { ...published, generation } : published;
}
