import { addressGroup } from "../../address.ts";
import { Penalties } from "../../penalties.ts";
import { CodedError } from "../../../protocol/errors.ts";

/** Each takes up to 64 MiB and a core: two are what a flood of wrong passwords can take from all else. */
const MAX_RUNNING = 2;
/** Those who may wait at once: about 2 s of work. */
const MAX_WAITING = 64;
/** People mistype, and programs try an old password a few times; behind that an address may guess once in 5 s. */
const TOLERATED_GUESSES = 20;
/** Of one address: a browser's connections that ask with the same password count once. */
const MAX_PER_ADDRESS = 4;

/** Bounds what passwords cost: how many are checked at once, how many wait, and how often an address may be wrong. */
export class PasswordChecks {
  readonly #penalties: Penalties;
  readonly #waiting: (() => void)[] = [];
  readonly #byGroup = new Map<string, number>();
  #running = 0;

  constructor(penalties: Penalties = new Penalties({ tolerated: TOLERATED_GUESSES })) {
    this.#penalties = penalties;
  }

  /**
   * Runs a check for a visitor when it is its turn; a wrong password costs the address time.
   * @throws {CodedError} TOO_MANY_ATTEMPTS, PASSWORDS_BUSY
   */
  async run(address: string, check: () => Promise<boolean>): Promise<boolean> {
    this.#penalties.assertNone(address);
    using _counted = this.#count(address);
    await this.#turn();
    try {
      // While it waited, others of the same address were wrong.
      this.#penalties.assertNone(address);
      const right = await check();
      if (!right) this.#penalties.add(address);
      return right;
    } finally {
      this.#next();
    }
  }

  #count(address: string): Disposable {
    const group = addressGroup(address);
    const count = (this.#byGroup.get(group) ?? 0) + 1;
    if (count > MAX_PER_ADDRESS) {
      throw new CodedError("TOO_MANY_ATTEMPTS", `More than ${MAX_PER_ADDRESS} passwords from ${address} at once`);
    }
    this.#byGroup.set(group, count);
    return {
      [Symbol.dispose]: () => {
        const left = (this.#byGroup.get(group) ?? 1) - 1;
        if (left === 0) this.#byGroup.delete(group);
        else this.#byGroup.set(group, left);
      },
    };
  }

  async #turn(): Promise<void> {
    if (this.#running < MAX_RUNNING) {
      this.#running++;
      return;
    }
    if (this.#waiting.length >= MAX_WAITING) throw new CodedError("PASSWORDS_BUSY");
    // Whoever ends hands its place on: the count stays.
    await new Promise<void>((resolve) => this.#waiting.push(resolve));
  }

  #next(): void {
    const next = this.#waiting.shift();
    if (next === undefined) this.#running--;
    else next();
  }
}
