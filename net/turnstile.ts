import type { CodedError } from "../protocol/errors.ts";
import type { MaybePromise } from "./duplex.ts";
import { RateLimit } from "./rate_limit.ts";

const SECOND_MS = 1_000;

/** How many may pass, and how many may wait. */
export interface TurnstileOptions {
  perSecond: number;
  /** Whoever waited longer is turned away, ms. */
  waitMs: number;
  /** Those who may wait at once. */
  queue: number;
  /** Why one is turned away. */
  refusal: () => CodedError;
}

interface Waiter {
  readonly since: number;
  readonly pass: () => void;
  readonly refuse: (error: CodedError) => void;
}

/** Lets so many pass in a second; a burst waits for the next ones, in order, instead of being turned away. */
export class Turnstile {
  readonly #options: TurnstileOptions;
  readonly #rate: RateLimit;
  readonly #waiters = new Set<Waiter>();
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(options: TurnstileOptions) {
    this.#options = options;
    this.#rate = new RateLimit(options.perSecond);
  }

  /** Settles when it is one's turn. @throws {CodedError} the refusal, or what {@link end} was given */
  pass(): MaybePromise<void> {
    if (this.#waiters.size === 0 && this.#rate.take()) return;
    if (this.#waiters.size >= this.#options.queue) throw this.#options.refusal();
    return new Promise((pass, refuse) => {
      this.#waiters.add({ since: performance.now(), pass, refuse });
      this.#timer ??= this.#wakeNextSecond();
    });
  }

  /** Nobody passes any more. */
  end(error: CodedError): void {
    clearTimeout(this.#timer);
    for (const waiter of this.#waiters) waiter.refuse(error);
    this.#waiters.clear();
  }

  #wakeNextSecond(): ReturnType<typeof setTimeout> {
    return setTimeout(() => this.#turn(), SECOND_MS - performance.now() % SECOND_MS);
  }

  #turn(): void {
    this.#timer = undefined;
    const tooOld = performance.now() - this.#options.waitMs;
    for (const waiter of this.#waiters) {
      if (waiter.since < tooOld) waiter.refuse(this.#options.refusal());
      else if (this.#rate.take()) waiter.pass();
      else break;
      this.#waiters.delete(waiter);
    }
    if (this.#waiters.size > 0) this.#timer = this.#wakeNextSecond();
  }
}
