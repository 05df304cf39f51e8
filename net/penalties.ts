import { addressGroup } from "./address.ts";
import { CodedError } from "../protocol/errors.ts";

/** What one wrong credential costs; OpenSSH's `PerSourcePenalties authfail`. */
const PENALTY_MS = 5_000;
/** A token pasted wrongly twice is no attack (OpenSSH's floor of 15 s). */
const DEFAULT_TOLERATED = 2;
const MAX_PENALTY_MS = 600_000;
/** Addresses remembered; beyond that the oldest is forgotten, so that an attacker with many addresses costs us no memory. */
const MAX_ADDRESSES = 10_000;

/** How strict penalties are. */
export interface PenaltiesOptions {
  /** The time, ms. */
  now?: () => number;
  /** Wrong credentials at once that cost nothing. @default 2 */
  tolerated?: number;
}

/** Makes whoever presents wrong credentials wait; a right one is never penalised, only asked for later. */
export class Penalties {
  /** Time at which the penalty of an address (or /64) is over, ms. */
  readonly #until = new Map<string, number>();
  readonly #now: () => number;
  /** Below this nothing is refused. */
  readonly #enforcedFromMs: number;

  constructor({ now = () => performance.now(), tolerated = DEFAULT_TOLERATED }: PenaltiesOptions = {}) {
    this.#now = now;
    this.#enforcedFromMs = (tolerated + 1) * PENALTY_MS;
  }

  /** @throws {CodedError} TOO_MANY_ATTEMPTS while the address has to wait */
  assertNone(address: string): void {
    const left = (this.#until.get(addressGroup(address)) ?? 0) - this.#now();
    if (left < this.#enforcedFromMs) return;
    const seconds = Math.ceil((left - this.#enforcedFromMs) / 1000) + 1;
    throw new CodedError("TOO_MANY_ATTEMPTS", `Too many wrong credentials from ${address}: wait ${seconds} s`);
  }

  /** A wrong credential came from the address. */
  add(address: string): void {
    const group = addressGroup(address);
    const now = this.#now();
    const until = Math.max(this.#until.get(group) ?? 0, now) + PENALTY_MS;
    this.#until.delete(group);
    this.#until.set(group, Math.min(until, now + MAX_PENALTY_MS));
    for (const [oldest, end] of this.#until) {
      if (end > now && this.#until.size <= MAX_ADDRESSES) break;
      this.#until.delete(oldest);
    }
  }
}
