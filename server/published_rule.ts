import { CodedError } from "../protocol/errors.ts";
import { type Rule, ruleId } from "../protocol/rule.ts";
import { compileFirewall } from "./firewall.ts";
import type { HttpUpstreams } from "./http_upstreams.ts";
import type { Session } from "./session.ts";

/** A visitor's connection that is under way. */
interface Running {
  address: string;
  reset: (error: CodedError) => void;
}

/** A rule that visitors can reach now. */
export class PublishedRule {
  readonly id: string;
  readonly session: Session;
  /** Grows when the target changes, so that keep-alive connections to the old one are not used again. */
  revision = 1;
  /** Keep-alive connections to the target; HTTP rules only. */
  upstreams: HttpUpstreams | null = null;
  /** Whether visitors can no longer reach it. */
  withdrawn = false;
  readonly #running = new Set<Running>();
  #rule: Rule;
  #allows: (address: string) => boolean;

  /** @throws {CodedError} NETWORK_INVALID */
  constructor(session: Session, rule: Rule) {
    this.id = ruleId(rule);
    this.session = session;
    this.#rule = rule;
    this.#allows = compileFirewall(rule.firewall);
  }

  get rule(): Rule {
    return this.#rule;
  }

  /** Whether the firewall lets an address in. */
  allows(address: string): boolean {
    return this.#allows(address);
  }

  /** Takes an edit: it counts from the next connection or request on, and resets what the firewall now drops. @throws {CodedError} NETWORK_INVALID */
  update(rule: Rule): void {
    const allows = compileFirewall(rule.firewall);
    if (leadsElsewhere(this.#rule, rule)) {
      this.revision++;
      this.upstreams?.closeIdle();
    }
    this.#rule = rule;
    this.#allows = allows;
    for (const running of [...this.#running]) {
      if (!allows(running.address)) running.reset(new CodedError("FORBIDDEN"));
    }
  }

  /** Notes a visitor's connection until the disposable is released. */
  enter(address: string, reset: (error: CodedError) => void): Disposable {
    const running: Running = { address, reset };
    this.#running.add(running);
    return { [Symbol.dispose]: () => void this.#running.delete(running) };
  }

  /** Number of visitors' connections under way. */
  get running(): number {
    return this.#running.size;
  }

  /** The rule is gone: so are its streams. */
  withdraw(error: CodedError): void {
    this.withdrawn = true;
    this.upstreams?.closeIdle();
    for (const running of [...this.#running]) running.reset(error);
  }
}

function leadsElsewhere(before: Rule, after: Rule): boolean {
  return JSON.stringify({ ...before, firewall: null }) !== JSON.stringify({ ...after, firewall: null });
}
