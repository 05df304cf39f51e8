/** Lines of one kind of event in a second: a flood by a peer must not become a flood on the disk. */
const MAX_LINES_PER_S = 200;
/** Kinds that are told apart; they are constants of the program, so this is never reached by honest code. */
const MAX_KINDS = 1_024;
const WINDOW_MS = 1_000;

interface Kind {
  windowStart: number;
  lines: number;
  suppressed: number;
}

/** Counts lines per kind of event and says which to leave out. */
export class LogLimit {
  readonly #kinds = new Map<string, Kind>();
  readonly #now: () => number;
  #suppressedKinds = 0;

  constructor(now: () => number = Date.now) {
    this.#now = now;
  }

  /** Whether a line of this kind may be written. */
  allows(event: string): boolean {
    const kind = this.#kindOf(this.#kinds.size < MAX_KINDS || this.#kinds.has(event) ? event : "other");
    const now = this.#now();
    if (now - kind.windowStart >= WINDOW_MS && kind.suppressed === 0) {
      kind.windowStart = now;
      kind.lines = 0;
    }
    if (kind.lines < MAX_LINES_PER_S) {
      kind.lines++;
      return true;
    }
    if (kind.suppressed++ === 0) this.#suppressedKinds++;
    return false;
  }

  /** What was left out in windows that are over: each is to be said once. With `all`, of the present ones too. */
  takeSuppressed(options: { all?: boolean } = {}): { event: string; count: number }[] {
    if (this.#suppressedKinds === 0) return [];
    const now = this.#now();
    const taken: { event: string; count: number }[] = [];
    for (const [event, kind] of this.#kinds) {
      if (kind.suppressed === 0 || (options.all !== true && now - kind.windowStart < WINDOW_MS)) continue;
      taken.push({ event, count: kind.suppressed });
      Object.assign(kind, { windowStart: now, lines: 0, suppressed: 0 });
      this.#suppressedKinds--;
    }
    return taken;
  }

  #kindOf(event: string): Kind {
    const known = this.#kinds.get(event);
    if (known !== undefined) return known;
    const kind = { windowStart: this.#now(), lines: 0, suppressed: 0 };
    this.#kinds.set(event, kind);
    return kind;
  }
}
