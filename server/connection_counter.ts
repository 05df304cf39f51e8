import { addressGroup } from "../net/address.ts";

/** How many connections there may be. */
export interface ConnectionLimits {
  perAddress: number;
  total: number;
  /** Early drop: from this many on, newcomers are refused with rising probability (OpenSSH MaxStartups). @default total */
  dropFrom?: number;
  /** Addresses that do not count against `perAddress`. */
  exempt?: (address: string) => boolean;
}

/** Counts connections by IPv4 address or IPv6 /64, and in all. */
export class ConnectionCounter {
  readonly #limits: ConnectionLimits;
  readonly #byGroup = new Map<string, number>();
  #total = 0;

  constructor(limits: ConnectionLimits) {
    this.#limits = limits;
  }

  get total(): number {
    return this.#total;
  }

  /** Counts a connection until it is disposed; `null` when there are too many. */
  admit(address: string): Disposable | null {
    const { perAddress, total, dropFrom = total, exempt } = this.#limits;
    if (this.#total >= total) return null;
    if (this.#total >= dropFrom && Math.random() < (this.#total - dropFrom) / (total - dropFrom)) return null;
    const group = addressGroup(address);
    const count = this.#byGroup.get(group) ?? 0;
    if (count >= perAddress && exempt?.(address) !== true) return null;
    this.#byGroup.set(group, count + 1);
    this.#total++;
    return new Admission(this, group);
  }

  /** One connection of a group is gone. */
  release(group: string): void {
    this.#total--;
    const count = this.#byGroup.get(group)! - 1;
    if (count === 0) this.#byGroup.delete(group);
    else this.#byGroup.set(group, count);
  }
}

/** One connection that was counted; a class, as there is one for every idle visitor. */
class Admission implements Disposable {
  #counter: ConnectionCounter | undefined;
  readonly #group: string;

  constructor(counter: ConnectionCounter, group: string) {
    this.#counter = counter;
    this.#group = group;
  }

  [Symbol.dispose](): void {
    this.#counter?.release(this.#group);
    this.#counter = undefined;
  }
}
