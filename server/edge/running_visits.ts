import type { Duplex } from "../../net/duplex.ts";

/** The visitors of one edge that are here now. */
export class RunningVisits {
  readonly #visitors = new Set<Duplex>();
  #emptied: PromiseWithResolvers<void> | undefined;

  /** How many there are. */
  get count(): number {
    return this.#visitors.size;
  }

  /** A visitor is here until it leaves. */
  enter(visitor: Duplex): void {
    this.#visitors.add(visitor);
  }

  leave(visitor: Duplex): void {
    this.#visitors.delete(visitor);
    if (this.#visitors.size > 0) return;
    this.#emptied?.resolve();
    this.#emptied = undefined;
  }

  /** Keeps a visitor until its work has settled; the work must not reject. */
  track(visitor: Duplex, work: Promise<void>): void {
    this.enter(visitor);
    void work.then(() => this.leave(visitor));
  }

  /** Settles when the visitors that are here have gone. */
  async idle(): Promise<void> {
    while (this.#visitors.size > 0) await (this.#emptied ??= Promise.withResolvers()).promise;
  }

  /** Resets the visitors that are still here, and waits until they are gone. */
  async cut(): Promise<void> {
    for (const visitor of this.#visitors) visitor.reset();
    await this.idle();
  }
}
