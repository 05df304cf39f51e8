import { compileRuleOptions } from "../net/http/proxy/rule_options.ts";
import type { Logger } from "../net/log.ts";
import { CodedError, errorFromWire, toCodedError } from "../protocol/errors.ts";
import { isHostName } from "../protocol/host_name.ts";
import type { ControlMessage, RuleState } from "../protocol/message.ts";
import { type HttpRule, type Rule, ruleId, type TcpRule } from "../protocol/rule.ts";
import { compileFirewall } from "./firewall.ts";
import { HttpUpstreams } from "./http_upstreams.ts";
import { PublishedRule, type StreamOpener } from "./published_rule.ts";
import type { Services } from "./mesh/services.ts";
import type { Router } from "./router.ts";
import { nameTaken } from "./state/names.ts";
import { RuleSeals } from "./rule_seals.ts";
import { ServiceOffers } from "./service_offers.ts";
import type { ServerState } from "./state/server_state.ts";
import { serviceWithdrawn } from "./state/service_names.ts";

/**
 * Names for which the server gets certificates on behalf of one tunnel: authorities limit what an account may order (300 in 3 hours at
 * Let's Encrypt), and all tunnels share the server's. Names that its wildcard covers need none.
 */
const MAX_SERVER_CERTIFICATES = 25;

/** Opens and closes the public ports of TCP rules. */
export interface PortOpener {
  /** @throws {CodedError} PORT_IN_USE */
  open(port: number, rule: PublishedRule): Promise<void>;
  close(port: number, rule: PublishedRule): void;
}

/** The session whose rules are published: it is told when one of them is withdrawn. */
export interface PublishingSession extends StreamOpener {
  send(message: ControlMessage): unknown;
}

/** The certificates with which the server ends TLS. */
export interface NameCertificates {
  /** @throws {CodedError} CERTIFICATE_MISSING when there is none for the name, and none can be got */
  assertServable(name: string): void;
  /** Why there is none for the name at this moment, if it is one that is to be got. */
  faultOf(name: string): CodedError | undefined;
}

/** What publishing a rule needs. */
export interface PublisherParts {
  state: ServerState;
  router: Router;
  /** What programs find through the mesh. */
  services: Services;
  ports: PortOpener;
  certificates: NameCertificates;
  /** Rules whose TLS is to end at the server have come or gone. */
  onTlsRules: () => void;
  log: Logger;
  /** Where visitors reach a rule. */
  addressOf: (rule: Rule) => string;
}

/** Publishes the rules of one session: turns its desired state into routes and open ports. */
export class Publisher {
  readonly #session: PublishingSession;
  readonly #parts: PublisherParts;
  readonly #offers: ServiceOffers;
  readonly #seals: RuleSeals;
  readonly #published = new Map<string, PublishedRule>();
  /** What the client was told last of each of its rules. */
  #states = new Map<string, RuleState>();
  /** Every rule that the session wants published; those that could not be are tried again when something changes. */
  #wanted: ReadonlyMap<string, Rule> = new Map();
  /** Rules that would need more certificates of the server than there are for one tunnel. */
  #tooMany: ReadonlySet<string> = new Set();
  /** States are applied one after the other. */
  #applying: Promise<unknown> = Promise.resolve();
  #closed = false;

  constructor(session: PublishingSession, parts: PublisherParts) {
    this.#session = session;
    this.#parts = parts;
    this.#offers = new ServiceOffers(session, { services: parts.services, names: parts.state.serviceNames });
    this.#seals = new RuleSeals(session, parts);
  }

  /** The rules that visitors can reach now. */
  get rules(): readonly PublishedRule[] {
    return [...this.#published.values()];
  }

  /** What became of each rule that the session wants published. */
  get states(): readonly RuleState[] {
    return [...this.#states.values()];
  }

  /** Makes the given rules, and no others, the ones of this session; says what became of each. */
  apply(rules: readonly Rule[]): Promise<RuleState[]> {
    return this.#inTurn(() => this.#apply(rules));
  }

  /** Whether the rule would be accepted; claims nothing. @throws {CodedError} the reason why not */
  check(rule: Rule): void {
    compileFirewall(rule.firewall);
    compileRuleOptions(rule);
    this.#checkQuota(rule);
    if (rule.kind === "http" && endsHere(rule)) this.#parts.certificates.assertServable(rule.domain);
    const { names, ports } = this.#parts.state;
    const { tunnel } = this.#session;
    this.#offers.check(rule.service);
    if (rule.kind === "tcp") return ports.assertOwner(tunnel, rule.port);
    this.#checkDomain(rule.domain);
    const owner = names.ownerOf(rule.domain);
    if (owner !== undefined && !names.mayUse(tunnel, rule.domain)) throw nameTaken(rule.domain);
    if (owner === undefined) names.check(tunnel.grants, rule.domain);
  }

  /** Where visitors reach a rule, if it is for any. */
  addressOf(rule: Rule): { address?: string } {
    return rule.private === true ? {} : { address: this.#parts.addressOf(rule) };
  }

  /** Withdraws a rule whose port or name the tunnel gives up; tells the client. */
  drop(id: string, error: CodedError = new CodedError("RULE_UNKNOWN", "What the rule needs was released")): void {
    const published = this.#published.get(id);
    if (published === undefined) return;
    this.#withdraw(published, error);
    this.#tell([{ id, state: "inactive", code: error.code, message: error.message }]);
  }

  /** Withdraws every rule whose name belongs to the unit that the tunnel gives up. */
  dropBelow(unit: string): void {
    for (const { id, rule } of this.rules) {
      if (rule.kind === "http" && this.#parts.state.names.unitOf(rule.domain) === unit) this.drop(id);
    }
  }

  /** Withdraws the rules of a domain, and of what is below it, that the tunnel may no longer use; tells the client. */
  dropLost(domain: string): Promise<void> {
    return this.#inTurn(() => this.#dropLost(domain));
  }

  /** Withdraws the rules that offer a service under a name that the tunnel's owner has no more; tells the client. */
  dropService(name: string): Promise<void> {
    return this.#inTurn(() => {
      if (this.#offers.owns(name)) return;
      for (const { id, rule } of this.rules) if (rule.service === name) this.#dropWithdrawn(id, name);
    });
  }

  /**
   * Tries the rules that were refused again, of a domain and of what is below it, or all, and looks how the others fare; tells the client
   * what has changed.
   */
  retry(domain?: string): Promise<void> {
    return this.#retry((rule) => domain === undefined || isWithin(rule, domain));
  }

  /** The same for the rules that have this service name. */
  retryService(name: string): Promise<void> {
    return this.#retry(({ service }) => service === name);
  }

  #retry(concerned: (rule: Rule) => boolean): Promise<void> {
    return this.#inTurn(async () => {
      const open = this.rules.filter(({ rule }) => concerned(rule)).map(({ id, rule }) => this.#activeState(id, rule));
      const waiting = [...this.#wanted].filter(([id, rule]) => !this.#published.has(id) && concerned(rule));
      const states = await Promise.all(waiting.map(([id, rule]) => this.#applyOne(id, rule)));
      this.#tell([...open, ...states].filter((state) => !isSameState(state, this.#states.get(state.id))));
    });
  }

  /** Closes the longest idle keep-alive connection to a target, so that its channel can carry another stream. */
  reclaimAttached(): boolean {
    for (const rule of this.#published.values()) if (rule.upstreams?.closeOldest() === true) return true;
    return false;
  }

  /** The client is about to stop: idle connections to targets must not look like work that runs. */
  detachIdle(): void {
    for (const rule of this.#published.values()) rule.upstreams?.closeIdle();
  }

  /** The session ends: nothing of it stays published. */
  async withdrawAll(): Promise<void> {
    this.#closed = true;
    for (const rule of this.rules) this.#withdraw(rule, new CodedError("TUNNEL_OFFLINE"));
    await this.#applying;
    for (const rule of this.rules) this.#withdraw(rule, new CodedError("TUNNEL_OFFLINE"));
  }

  async #apply(rules: readonly Rule[]): Promise<RuleState[]> {
    const wanted = this.#wanted = new Map(rules.map((rule) => [ruleId(rule), rule]));
    for (const published of this.rules) {
      if (!wanted.has(published.id)) this.#withdraw(published, new CodedError("NO_SUCH_RULE", "The rule was removed"));
    }
    this.#tooMany = new Set(
      [...wanted].filter(([, rule]) => endsHere(rule)).slice(MAX_SERVER_CERTIFICATES).map(([id]) => id),
    );
    await this.#seals.keepOnly(wanted);
    const states = await Promise.all([...wanted].map(([id, rule]) => this.#applyOne(id, rule)));
    this.#states = new Map(states.map((state) => [state.id, state]));
    return states;
  }

  #inTurn<T>(work: () => T | Promise<T>): Promise<T> {
    const done = this.#applying.then(work);
    this.#applying = done.catch(() => {
      // Reported to whoever asked; the next one has its turn all the same.
    });
    return done;
  }

  #dropWithdrawn(id: string, service: string): void {
    const error = serviceWithdrawn(service);
    const { id: tunnel, name } = this.#session.tunnel;
    this.#parts.log.warn("rule inactive", { tunnel, name, rule: id, code: error.code, reason: error.message });
    this.drop(id, error);
  }

  #dropLost(domain: string): void {
    const { names } = this.#parts.state;
    for (const { id, rule } of this.rules) {
      if (rule.kind !== "http" || !isWithin(rule, domain) || names.mayUse(this.#session.tunnel, rule.domain)) continue;
      this.drop(id, names.ownerOf(rule.domain) === undefined ? notVerified(rule.domain) : nameTaken(rule.domain));
    }
  }

  /** A rule's state has changed by itself. */
  #tell(states: RuleState[]): void {
    if (states.length === 0) return;
    for (const state of states) this.#states.set(state.id, state);
    void this.#session.send({ kind: "rules.applied", revision: 0, rules: states });
  }

  async #applyOne(id: string, rule: Rule): Promise<RuleState> {
    try {
      if (this.#closed) throw new CodedError("SESSION_CLOSED");
      // A rule that is closed says as well where its TLS ends.
      await this.#seals.seal(rule);
      if (rule.fault !== undefined) throw errorFromWire(rule.fault.code, rule.fault.message, "RULE_INVALID");
      // A certificate may be missing: plain HTTP works without, HTTPS is refused until there is one, and the state says so.
      this.#checkQuota(rule);
      const published = this.#published.get(id);
      if (published === undefined) await this.#publish(id, rule);
      else await this.#update(published, rule);
      await this.#seals.unseal(rule);
      return this.#activeState(id, rule);
    } catch (error) {
      const { code, message } = toCodedError(error);
      const published = this.#published.get(id);
      // Fail closed: a rule whose edit is not valid must not go on with what it was.
      if (published !== undefined) this.#withdraw(published, new CodedError("RULE_INVALID"));
      this.#parts.log.warn("rule inactive", { tunnel: this.#session.tunnel.id, rule: id, code, reason: message });
      return { id, state: "inactive", code, message: message.slice(0, 1024) };
    }
  }

  /** What is told of a rule that visitors can reach, with what is amiss all the same. */
  #activeState(id: string, rule: Rule): RuleState {
    const { certificates } = this.#parts;
    const until = rule.kind === "http" && rule.notAfter !== undefined ? { notAfter: rule.notAfter } : {};
    const state = { id, state: "active", ...this.addressOf(rule), ...until } as const;
    if (rule.kind !== "http") return state;
    if (rule.warning !== undefined) return { ...state, ...rule.warning };
    const fault = endsHere(rule) ? certificates.faultOf(rule.domain) : undefined;
    return fault === undefined ? state : { ...state, code: fault.code, message: fault.message.slice(0, 1024) };
  }

  async #publish(id: string, rule: Rule): Promise<void> {
    const published = new PublishedRule(this.#session, rule);
    // Before it takes a domain for nothing.
    this.#offers.check(rule.service);
    if (rule.kind === "http") await this.#publishHttp(published, rule);
    else await this.#publishTcp(published, rule);
    this.#published.set(id, published);
    this.#addService(published);
    if (this.#closed) this.#withdraw(published, new CodedError("SESSION_CLOSED"));
  }

  async #update(published: PublishedRule, rule: Rule): Promise<void> {
    const before = published.rule;
    if ((before.private === true) !== (rule.private === true)) return await this.#publishAnew(published, rule);
    if (before.service !== rule.service) await this.#claimForUpdate(published, rule.service);
    // In one go: whoever is told of the new name looks at the rule.
    this.#parts.services.rename(published, rule.service);
    published.update(rule);
    if (endsHere(before) !== endsHere(rule)) this.#parts.onTlsRules();
  }

  /** Who may come to a private rule is another question than who may come to a public one: those who are here go. */
  async #publishAnew(published: PublishedRule, rule: Rule): Promise<void> {
    this.#withdraw(published, new CodedError("NO_SUCH_RULE", "The rule was changed"));
    await this.#publish(published.id, rule);
  }

  async #publishHttp(published: PublishedRule, rule: HttpRule): Promise<void> {
    const { tunnel } = this.#session;
    this.#checkDomain(rule.domain);
    await this.#parts.state.names.claim(tunnel, rule.domain);
    await this.#seals.seal(rule);
    await this.#offers.claim(rule.service);
    published.upstreams = new HttpUpstreams(published);
    this.#parts.router.add(rule.domain, published, {
      below: rule.domain === tunnel.hostname,
      // A rule that is closed must stay so, whatever the one above it lets in (security P10).
      isKept: (domain) => this.#wanted.has(ruleId({ kind: "http", domain })),
      hidden: rule.private === true,
    });
    if (endsHere(rule)) this.#parts.onTlsRules();
  }

  async #publishTcp(published: PublishedRule, rule: TcpRule): Promise<void> {
    this.#parts.state.ports.assertOwner(this.#session.tunnel, rule.port);
    await this.#offers.claim(rule.service);
    if (rule.private !== true) await this.#parts.ports.open(rule.port, published);
  }

  #checkDomain(domain: string): void {
    if (!isHostName(domain)) throw new CodedError("NAME_INVALID", `"${domain}" is not a valid host name`);
  }

  #checkQuota(rule: Rule): void {
    if (!endsHere(rule) || !this.#tooMany.has(ruleId(rule))) return;
    throw new CodedError("QUOTA_EXCEEDED", `The server gets ${MAX_SERVER_CERTIFICATES} certificates for one tunnel`);
  }

  /** It is complete once the mesh finds it, too. */
  #addService(published: PublishedRule): void {
    try {
      this.#parts.services.add(published);
      this.#offers.assertOwned(published.rule.service);
    } catch (error) {
      this.#withdraw(published, toCodedError(error));
      throw error;
    }
  }

  async #claimForUpdate(published: PublishedRule, name: string | undefined): Promise<void> {
    this.#offers.check(name);
    await this.#offers.claim(name);
    if (this.#published.get(published.id) !== published) throw new CodedError("RULE_UNKNOWN", "The rule was withdrawn");
    this.#offers.assertOwned(name);
  }

  #withdraw(published: PublishedRule, error: CodedError): void {
    if (!this.#published.delete(published.id)) return;
    const { rule } = published;
    this.#parts.services.remove(published);
    if (rule.kind === "http") this.#parts.router.remove(rule.domain, published);
    else this.#parts.ports.close(rule.port, published);
    if (endsHere(rule)) this.#parts.onTlsRules();
    published.withdraw(error);
  }
}

/** Whether the rule demands that the server ends its TLS, and so that it has a certificate. */
function endsHere(rule: Rule): boolean {
  return rule.kind === "http" && rule.tls === "server";
}

/** Why a rule is closed is told once: other words for the same code are no news. */
function isSameState(a: RuleState, b: RuleState | undefined): boolean {
  if (a.state !== b?.state || a.code !== b.code) return false;
  return a.state === "inactive" || (a.address === b.address && a.message === b.message && a.notAfter === b.notAfter);
}

function isWithin(rule: Rule, domain: string): boolean {
  return rule.kind === "http" && (rule.domain === domain || rule.domain.endsWith(`.${domain}`));
}

function notVerified(domain: string): CodedError {
  return new CodedError("DOMAIN_NOT_VERIFIED", `"${domain}" is not verified for this tunnel any more`);
}
