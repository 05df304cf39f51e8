import { addressGroup } from "./address.ts";
import { CodedError } from "../protocol/errors.ts";

/** What one wrong credential costs; OpenSSH's `PerSourcePenalties authfail`. */
const PENALTY_MS = 5_000;
/** Below this nothing is refused: a token pasted wrongly twice is no attack (OpenSSH's floor). */
const ENFORCED_FROM_MS = 15_000;
const MAX_PENALTY_MS = 600_000;
/** Addresses remembered; beyond that the oldest is forgotten, so that an attacker with many addresses costs us no memory. */
const MAX_ADDRESSES = 10_000;

/** Makes whoever presents wrong credentials wait; a right one is never penalised, only asked for later. */
export class Penalties {
  /** Time at which the penalty of an address (or /64) is over, ms. */
  readonly #until = new Map<string, number>();
  readonly #now: () => number;

  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
  }

  /** @throws {CodedError} TOO_MANY_ATTEMPTS while the address has to wait */
  assertNone(address: string): void {
    const left = (this.#until.get(addressGroup(address)) ?? 0) - this.#now();
    if (left < ENFORCED_FROM_MS) return;
    const seconds = Math.ceil((left - ENFORCED_FROM_MS) / 1000) + 1;
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
