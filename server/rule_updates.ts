import { toCodedError } from "../protocol/errors.ts";
import type { Rule } from "../protocol/rule.ts";
import type { Session } from "./session.ts";

/** The desired states that a client sends: one is applied at a time, and of those that come meanwhile only the last counts. */
export class RuleUpdates {
  readonly #session: Pick<Session, "publisher" | "send" | "end">;
  #running = false;
  #next: { revision: number; rules: readonly Rule[] } | null = null;

  constructor(session: Pick<Session, "publisher" | "send" | "end">) {
    this.#session = session;
  }

  /** Applies the state after the one that is being applied, unless a newer one comes before that; the client is told of what was applied. */
  push(revision: number, rules: readonly Rule[]): void {
    this.#next = { revision, rules };
    if (!this.#running) void this.#run();
  }

  async #run(): Promise<void> {
    this.#running = true;
    try {
      for (let update = this.#next; update !== null; update = this.#next) {
        this.#next = null;
        const states = await this.#session.publisher.apply(update.rules);
        await this.#session.send({ kind: "rules.applied", revision: update.revision, rules: states });
      }
    } catch (error) {
      await this.#session.end(toCodedError(error));
    } finally {
      this.#running = false;
    }
  }
}
