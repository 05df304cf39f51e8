import type { VisitorLife } from "../http_context.ts";

/** A visitor who is here until it leaves. */
export class FakeVisitor implements VisitorLife {
  readonly #life = new AbortController();

  get gone(): boolean {
    return this.#life.signal.aborted;
  }

  get signal(): AbortSignal {
    return this.#life.signal;
  }

  leave(): void {
    this.#life.abort();
  }
}
