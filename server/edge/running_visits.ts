import type { Duplex } from "../../net/duplex.ts";

/** The visitors of one edge that are here now. */
export class RunningVisits {
  readonly #running = new Set<Promise<void>>();
  readonly #visitors = new Set<Duplex>();

  /** How many there are. */
  get count(): number {
    return this.#running.size;
  }

  /** Keeps a visitor until its work has settled; it must not reject. */
  track(visitor: Duplex, work: Promise<void>): void {
    this.#visitors.add(visitor);
    const running = work.finally(() => {
      this.#visitors.delete(visitor);
      this.#running.delete(running);
    });
    this.#running.add(running);
  }

  /** Settles when the visitors that are here have gone. */
  async idle(): Promise<void> {
    while (this.#running.size > 0) await Promise.all(this.#running);
  }

  /** Resets the visitors that are still here, and waits until they are gone. */
  async cut(): Promise<void> {
    for (const visitor of this.#visitors) visitor.reset();
    await this.idle();
  }
}
