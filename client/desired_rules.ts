import { delay } from "../net/delay.ts";
import type { Logger } from "../net/log.ts";
import type { ControlMessageOf, RuleState } from "../protocol/message.ts";
import { AcmeCertificates } from "./certificates/acme_certificates.ts";
import type { ClientAcmeOptions, ClientEvent, ClientRule } from "./options.ts";
import { Resolver } from "./resolver.ts";
import type { CertificateFileEvents } from "./rule_checks.ts";

/** How often folders and certificates of rules are looked at: an edit counts after a moment that nobody waits for. */
const LOOK_MS = 1_000;

/** What publishing rules needs. */
export interface DesiredRulesOptions {
  readonly rules: readonly ClientRule[];
  /** How certificates are got from an authority, for rules that want one. */
  readonly acme: ClientAcmeOptions | undefined;
  /** Sends to the server, if it is connected. */
  readonly send: (message: ControlMessageOf<"rules">) => void;
  readonly onEvent: (event: ClientEvent) => void;
  readonly log: Logger;
  /** @default 1_000 */
  readonly lookMs?: number;
}

/** The rules that a client wants published, what they depend on, and what the server made of them. */
export class DesiredRules implements AsyncDisposable {
  /** Where the streams of the rules go. */
  readonly resolver: Resolver;
  readonly #options: DesiredRulesOptions;
  readonly #acme: AcmeCertificates | undefined;
  #rules: readonly ClientRule[];
  #revision = 0;
  /** What the server was told last of what changes by itself. */
  #told = "";
  /** What became of the rules, as the server said last. */
  #states = new Map<string, RuleState>();
  /** Whoever waits to hear what became of the last ones. */
  #waiting: { revision: number; result: PromiseWithResolvers<readonly RuleState[]> } | undefined;

  /** A mistake in a rule is the caller's to know at once. @throws {CodedError} as {@link Resolver.set} */
  constructor(options: DesiredRulesOptions) {
    const { rules, acme, onEvent, log } = options;
    this.#options = options;
    this.#rules = rules;
    this.#acme = acme === undefined ? undefined : new AcmeCertificates({
      ...{ ...acme, onEvent, log },
      onChange: () => this.#sendChanges(),
    });
    this.resolver = new Resolver({ acme: this.#acme, files: fileEvents(options) });
    this.resolver.set(rules, "hostname.invalid");
  }

  /** Publishes these rules and no others; resolves when the server has said what became of each. @throws {CodedError} as {@link Resolver.set} */
  async set(rules: readonly ClientRule[], hostname: string): Promise<readonly RuleState[]> {
    this.resolver.set(rules, hostname);
    this.#rules = rules;
    this.#waiting?.result.resolve([]);
    const result = Promise.withResolvers<readonly RuleState[]>();
    this.#waiting = { revision: this.#revision + 1, result };
    await this.#lookAndSend();
    return await result.promise;
  }

  /** The server has been reached, and knows no rules of ours. */
  async publish(hostname: string): Promise<void> {
    this.resolver.set(this.#rules, hostname);
    await this.#lookAndSend();
  }

  /** The server says what became of rules: of all, or, with revision 0, of some whose state has changed by itself. */
  onApplied(revision: number, states: readonly RuleState[]): void {
    if (revision !== 0 && revision !== this.#revision) return;
    if (revision !== 0) this.#states.clear();
    for (const state of states) this.#states.set(state.id, state);
    this.#wantCertificates();
    if (this.#waiting?.revision !== revision) return;
    this.#waiting.result.resolve(states);
    this.#waiting = undefined;
  }

  /** Looks after what rules depend on, until it is aborted. */
  async watch(signal: AbortSignal): Promise<void> {
    for (;;) {
      await delay(this.#options.lookMs ?? LOOK_MS, { signal });
      if (signal.aborted) return;
      await this.#look();
      this.#sendChanges();
    }
  }

  /** Certificates are not looked after any more, and no connection to a target is kept. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.resolver.close();
    await this.#acme?.[Symbol.asyncDispose]();
  }

  async #lookAndSend(): Promise<void> {
    const revision = this.#next();
    await this.#look();
    this.#send(revision);
  }

  /** Whoever waits for an answer gets that to the newest rules. */
  #next(): number {
    this.#revision++;
    if (this.#waiting !== undefined) this.#waiting.revision = this.#revision;
    return this.#revision;
  }

  #send(revision: number): void {
    if (revision !== this.#revision) return;
    this.#told = this.resolver.condition();
    this.#options.send({ kind: "rules", revision, rules: this.resolver.published() });
  }

  /** Certificates come and go, and time passes. */
  #sendChanges(): void {
    if (this.resolver.condition() !== this.#told) this.#send(this.#next());
  }

  async #look(): Promise<void> {
    const changes = await this.resolver.look();
    for (const { rule, fault } of changes) {
      if (fault === undefined) this.#options.log.info("rule opened again", { rule });
      else this.#options.log.warn("rule closed", { rule, code: fault.code, reason: fault.message });
    }
  }

  /** Only for names that the server has let us have (security R48). */
  #wantCertificates(): void {
    const isActive = (id: string): boolean => this.#states.get(id)?.state === "active";
    const domains = [...this.resolver.acmeDomains].filter(([id]) => isActive(id)).map(([, domain]) => domain);
    void this.#acme?.want(domains);
  }
}

/** What becomes of the files of certificates is told. */
function fileEvents({ onEvent }: DesiredRulesOptions): CertificateFileEvents {
  return {
    onReplaced(domain, { notAfter }) {
      onEvent({ kind: "certificate", domain, step: "replaced", notAfter: notAfter.toISOString() });
    },
  };
}
