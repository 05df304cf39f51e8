import { type CertificatePair, isCurrent } from "../certificate.ts";
import type { ChallengeType } from "./proof.ts";
import { renewalTime, type RenewalWindow, retryDelayMs, suggestedTime } from "./renewal.ts";
import type { RenewalInfo } from "./renewal_info.ts";

/** A certificate that is wanted. */
export interface CertificateOrder {
  /** All names of the certificate; a wildcard is `*.example.com`. */
  readonly names: readonly string[];
  /** Ways to prove them, tried in this order; a wildcard needs `dns-01` among them. */
  readonly challenge: readonly ChallengeType[];
}

/** A new certificate is not replaced so soon, whatever dates and advice say: a clock or a CA that is wrong must not become a flood. */
const REST_MS = 3_600_000;
/** One that lives for minutes only rests for a tenth of its life, and at least so long. */
const MIN_REST_MS = 10_000;
/** A CA that has no renewal information, or fails to give it, is asked again after this time. */
const ASK_AGAIN_MS = 6 * 3_600_000;

/** Orders that failed in a row, and when the next may be made, ms since the epoch. */
export interface Failures {
  readonly failures: number;
  readonly retryAt: number;
}

/** What is known of one wanted certificate, and when something is to be done about it. All times are ms since the epoch. */
export class WantedCertificate {
  readonly names: readonly string[];
  /** Aborted when it is not wanted any more. */
  readonly stop: AbortController = new AbortController();
  /** When to order; never before what is stored has been looked at. */
  dueAt: number = Infinity;
  /** When to ask the CA for renewal information. */
  askAt: number = Infinity;
  #types: readonly ChallengeType[];
  #pair: CertificatePair | undefined;
  #window: RenewalWindow | undefined;
  #failures: number;
  /** No order before it. */
  #retryAt: number;

  /** `before`: what was kept of it when it was not wanted for a while. */
  constructor({ names, challenge }: CertificateOrder, before: Failures = { failures: 0, retryAt: -Infinity }) {
    this.names = names;
    this.#types = challenge;
    this.#failures = before.failures;
    this.#retryAt = before.retryAt;
  }

  get types(): readonly ChallengeType[] {
    return this.#types;
  }

  get pair(): CertificatePair | undefined {
    return this.#pair;
  }

  /** Undefined when the last order did not fail. */
  get failed(): Failures | undefined {
    return this.#failures === 0 ? undefined : { failures: this.#failures, retryAt: this.#retryAt };
  }

  /** It failed before this process began. To be told before it is known what is stored. */
  goesOn({ failures, retryAt }: Failures): void {
    this.#failures = failures;
    this.#retryAt = retryAt;
  }

  /** There is one on the disk. */
  isStored(pair: CertificatePair, now: number): void {
    this.#pair = pair;
    this.dueAt = Math.max(renewalTime(pair), this.#retryAt);
    this.askAt = now;
  }

  /** There is none. */
  isMissing(now: number): void {
    this.dueAt = Math.max(now, this.#retryAt);
  }

  /** The CA has issued one. */
  isIssued(pair: CertificatePair, now: number): void {
    this.#pair = pair;
    this.#window = undefined;
    this.#failures = 0;
    this.#retryAt = now + restMs(pair);
    this.dueAt = Math.max(renewalTime(pair), this.#retryAt);
    this.askAt = now;
  }

  /** Whether visitors have nothing that works: such orders go first. */
  isUrgent(now: number): boolean {
    return this.#pair === undefined || !isCurrent(this.#pair, now);
  }

  /** An order failed. Returns when the next is due. */
  hasFailed(now: number, retryAfterMs: number | undefined): number {
    this.#failures++;
    this.#retryAt = now + retryDelayMs(this.#failures, { retryAfterMs });
    this.dueAt = this.#retryAt;
    return this.dueAt;
  }

  /** The clock was set back: nothing is waited for longer than it would have been. */
  clockSetBack(byMs: number, now: number): void {
    this.#retryAt -= byMs;
    this.dueAt -= byMs;
    // Renewal goes by the dates in the certificate, and the CA's advice is drawn anew.
    if (this.#failures === 0 && this.#pair !== undefined) this.dueAt = Math.max(renewalTime(this.#pair), this.#retryAt);
    this.#window = undefined;
    this.askAt = Math.min(this.askAt, now);
  }

  /** It may be proven in other ways from now on, of which one may work. */
  provenBy(types: readonly ChallengeType[], now: number): void {
    const changed = types.join() !== this.#types.join();
    this.#types = types;
    if (changed && this.#failures > 0) this.hurry(now);
  }

  /** Somebody asks for an order now, whatever failed before. */
  hurry(now: number): void {
    this.#failures = 0;
    this.#retryAt = now;
    this.dueAt = now;
  }

  /** The CA has said when it would like to replace it; `undefined` when it has said nothing. */
  advised(info: RenewalInfo | undefined, now: number): void {
    this.askAt = now + (info?.askAgainMs ?? ASK_AGAIN_MS);
    if (info === undefined || this.#pair === undefined || isSame(info.window, this.#window)) return;
    this.#window = info.window;
    // After a failure the ladder decides.
    if (this.#failures === 0) this.dueAt = Math.max(suggestedTime(info.window, this.#pair), this.#retryAt);
  }
}

function restMs({ notBefore, notAfter }: CertificatePair): number {
  return Math.max(Math.min(REST_MS, (notAfter.getTime() - notBefore.getTime()) / 10), MIN_REST_MS);
}

function isSame(a: RenewalWindow, b: RenewalWindow | undefined): boolean {
  return a.start.getTime() === b?.start.getTime() && a.end.getTime() === b.end.getTime();
}
