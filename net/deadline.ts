/** How often expired deadlines are looked for: what they guard is measured in seconds. */
const TICK_MS = 250;

const armed = new Set<Deadline>();
/** The time of the last tick: near enough, and several times a request is too often to ask the system. */
let clock = 0;
let ticker: ReturnType<typeof setInterval> | undefined;

/**
 * The one deadline of a connection: set when it begins, only ever replaced, and gone with the connection (security R37: a
 * deadline that one phase clears is missing in the next). Replacing costs next to nothing; it expires up to 500 ms late, never
 * early.
 */
export class Deadline {
  #at: number;
  #expire: () => void;

  /** Calls `expire` once when `ms` have passed without a replacement. */
  constructor(ms: number, expire: () => void) {
    if (ticker === undefined) {
      clock = performance.now();
      ticker = setInterval(tick, TICK_MS);
    }
    armed.add(this);
    this.#expire = expire;
    this.#at = clock + TICK_MS + ms;
  }

  /**
   * Counts `ms` (or for ever: `Infinity`) from now, with a new consequence when one is given. A consequence may itself set the next deadline;
   * once one has expired without that, nothing happens any more.
   */
  replace(ms: number, expire: () => void = this.#expire): void {
    this.#at = clock + TICK_MS + ms;
    this.#expire = expire;
  }

  /** The connection is gone. */
  [Symbol.dispose](): void {
    armed.delete(this);
    if (armed.size > 0) return;
    clearInterval(ticker);
    ticker = undefined;
  }

  /** Expires when it is time. */
  check(now: number): void {
    if (now < this.#at) return;
    this.#at = Infinity;
    this.#expire();
    if (this.#at === Infinity) this[Symbol.dispose]();
  }
}

function tick(): void {
  clock = performance.now();
  for (const deadline of armed) deadline.check(clock);
}
