/** Somebody who has to know when no new work is taken any more. */
export interface Drainable {
  /** Ends now when idle, with the work at hand otherwise. */
  drain(): void;
}

/**
 * The moment from which no new work is taken, and who has to know. Not an `AbortSignal`: that looks through all of its listeners for
 * each one that comes or goes, and there is one for every connection.
 */
export class Drain {
  readonly #members = new Set<Drainable>();
  #begun = false;

  /** Whether the moment has come. */
  get begun(): boolean {
    return this.#begun;
  }

  /** A member is told when the moment comes; one that joins behind it asks `begun`. */
  join(member: Drainable): void {
    this.#members.add(member);
  }

  leave(member: Drainable): void {
    this.#members.delete(member);
  }

  /** Idempotent. */
  begin(): void {
    if (this.#begun) return;
    this.#begun = true;
    for (const member of this.#members) member.drain();
  }
}
