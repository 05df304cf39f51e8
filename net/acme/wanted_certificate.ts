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

/** However short a certificate lives, the CA is left in peace so long: a clock that is wrong must not become a flood. */
const MIN_RENEWAL_MS = 10_000;
/** A CA that has no renewal information, or fails to give it, is asked again after this time. */
const ASK_AGAIN_MS = 6 * 3_600_000;

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
  #failures = 0;

  constructor({ names, challenge }: CertificateOrder) {
    this.names = names;
    this.#types = challenge;
  }

  get types(): readonly ChallengeType[] {
    return this.#types;
  }

  get pair(): CertificatePair | undefined {
    return this.#pair;
  }

  /** There is one, from the CA or from the disk. */
  has(pair: CertificatePair, now: number, source: "stored" | "issued"): void {
    this.#pair = pair;
    this.#window = undefined;
    this.#failures = 0;
    const earliest = source === "issued" ? now + MIN_RENEWAL_MS : -Infinity;
    this.dueAt = Math.max(renewalTime(pair), earliest);
    this.askAt = now;
  }

  /** Whether visitors have nothing that works: such orders go first. */
  isUrgent(now: number): boolean {
    return this.#pair === undefined || !isCurrent(this.#pair, now);
  }

  /** An order failed. Returns when the next is due. */
  failed(now: number, retryAfterMs: number | undefined): number {
    this.#failures++;
    this.dueAt = now + retryDelayMs(this.#failures, { retryAfterMs });
    return this.dueAt;
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
    this.dueAt = now;
  }

  /** The CA has said when it would like to replace it; `undefined` when it has said nothing. */
  advised(info: RenewalInfo | undefined, now: number): void {
    this.askAt = now + (info?.askAgainMs ?? ASK_AGAIN_MS);
    if (info === undefined || this.#pair === undefined || isSame(info.window, this.#window)) return;
    this.#window = info.window;
    // After a failure the ladder decides.
    if (this.#failures === 0) this.dueAt = suggestedTime(info.window, this.#pair);
  }
}

function isSame(a: RenewalWindow, b: RenewalWindow | undefined): boolean {
  return a.start.getTime() === b?.start.getTime() && a.end.getTime() === b.end.getTime();
}
