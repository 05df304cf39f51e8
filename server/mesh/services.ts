import { CodedError } from "../../protocol/errors.ts";
import type { PublishedRule } from "../published_rule.ts";
import { serviceTaken } from "../state/service_names.ts";

/** Everything behind one service name: tunnels of one owner. */
interface NamedService {
  readonly owner: string;
  readonly rules: Set<PublishedRule>;
}

/** What is online, by the ways in which the mesh finds it. Whose a service name is while nobody offers it, the state knows. */
export class Services {
  /** Told when an edit gives a rule another service name: the policy may say something else of it. */
  onRenamed: () => void = () => {};
  readonly #all = new Set<PublishedRule>();
  readonly #byPort = new Map<number, PublishedRule>();
  readonly #byName = new Map<string, NamedService>();
  readonly #byHostname = new Map<string, Set<PublishedRule>>();
  /** The name under which each rule was added: an edit may have changed what it says now. */
  readonly #names = new Map<PublishedRule, string>();

  /** Adds a rule that is to be published. @throws {CodedError} SERVICE_TAKEN, PORT_IN_USE */
  add(published: PublishedRule): void {
    const { rule, session } = published;
    if (rule.kind === "tcp" && this.#byPort.has(rule.port)) {
      throw new CodedError("PORT_IN_USE", `Port ${rule.port} is published by another session`);
    }
    this.#name(published, rule.service);
    this.#all.add(published);
    if (rule.kind !== "tcp") return;
    this.#byPort.set(rule.port, published);
    const { hostname } = session.tunnel;
    const ofTunnel = this.#byHostname.get(hostname) ?? new Set();
    this.#byHostname.set(hostname, ofTunnel.add(published));
  }

  /** An edit gives the rule this service name, or none. @throws {CodedError} SERVICE_TAKEN; then nothing has changed */
  rename(published: PublishedRule, name: string | undefined): void {
    if (this.#names.get(published) === name) return;
    this.#name(published, name);
    this.onRenamed();
  }

  /** The rule is gone. */
  remove(published: PublishedRule): void {
    if (!this.#all.delete(published)) return;
    this.#unname(published);
    const { rule, session } = published;
    if (rule.kind !== "tcp") return;
    this.#byPort.delete(rule.port);
    const { hostname } = session.tunnel;
    const ofTunnel = this.#byHostname.get(hostname);
    ofTunnel?.delete(published);
    if (ofTunnel?.size === 0) this.#byHostname.delete(hostname);
  }

  /** Whether nobody else offers the name now. @throws {CodedError} SERVICE_TAKEN */
  assertFree(owner: string, name: string | undefined): void {
    if (name === undefined) return;
    const holder = this.#byName.get(name);
    if (holder === undefined || holder.owner === owner) return;
    throw serviceTaken(name);
  }

  /** All rules that are online. */
  get all(): readonly PublishedRule[] {
    return [...this.#all];
  }

  /** The TCP rule of an allocated port. */
  byPort(port: number): PublishedRule | undefined {
    return this.#byPort.get(port);
  }

  /** The rules of a service name; the one that comes first is another one each time. */
  byName(name: string): readonly PublishedRule[] {
    const service = this.#byName.get(name);
    if (service === undefined) return [];
    const [first] = service.rules;
    if (first !== undefined && service.rules.size > 1) {
      service.rules.delete(first);
      service.rules.add(first);
    }
    return [...service.rules];
  }

  /** The TCP rule that a port means at a tunnel's hostname or below it: that of the target port, else the only one. */
  byHostname(host: string, port: number): PublishedRule | undefined {
    const rules = this.#rulesAt(host);
    const targeted = rules.filter(({ rule }) => rule.kind === "tcp" && rule.targetPort === port);
    const [first, ...others] = targeted.length > 0 ? targeted : rules;
    return targeted.length === 0 && others.length > 0 ? undefined : first;
  }

  /** Whether the host is a tunnel's hostname, or below it, that has several TCP rules. */
  hasSeveralAt(host: string): boolean {
    return this.#rulesAt(host).length > 1;
  }

  #rulesAt(host: string): PublishedRule[] {
    const own = this.#byHostname.get(host);
    if (own !== undefined) return [...own].sort(byPortNumber);
    for (let dot = host.indexOf("."); dot >= 0; dot = host.indexOf(".", dot + 1)) {
      const above = this.#byHostname.get(host.slice(dot + 1));
      if (above !== undefined) return [...above].sort(byPortNumber);
    }
    return [];
  }

  #name(published: PublishedRule, name: string | undefined): void {
    const { owner } = published.session.tunnel;
    this.assertFree(owner, name);
    this.#unname(published);
    if (name === undefined) return;
    const service = this.#byName.get(name) ?? { owner, rules: new Set() };
    this.#byName.set(name, service);
    service.rules.add(published);
    this.#names.set(published, name);
  }

  #unname(published: PublishedRule): void {
    const name = this.#names.get(published);
    if (name === undefined) return;
    this.#names.delete(published);
    const service = this.#byName.get(name);
    service?.rules.delete(published);
    if (service?.rules.size === 0) this.#byName.delete(name);
  }
}

function byPortNumber(a: PublishedRule, b: PublishedRule): number {
  return portOf(a) - portOf(b);
}

function portOf({ rule }: PublishedRule): number {
  return rule.kind === "tcp" ? rule.port : 0;
}
