/** Work that is under way. */
export class Running {
  readonly #works = new Set<Promise<void>>();

  get size(): number {
    return this.#works.size;
  }

  /** Keeps a work until it has settled, and gives it back; who adds it sees to it that it does not reject. */
  add(work: Promise<void>): Promise<void> {
    const running = work.finally(() => this.#works.delete(running));
    this.#works.add(running);
    return running;
  }

  /** Settles when none is under way. */
  async idle(): Promise<void> {
    while (this.#works.size > 0) await Promise.all(this.#works);
  }
}
