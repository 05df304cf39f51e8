import type { DoorState } from "../../client/doors/door.ts";
import type { Logger } from "../../net/log.ts";

/** Tells what became of doors: only what is different from before, as all of them come again when one has changed. */
export class DoorLog {
  readonly #log: Logger;
  #known: ReadonlyMap<string, DoorState> = new Map();

  constructor(log: Logger) {
    this.#log = log;
  }

  /** These are all doors that there are now. */
  tell(states: readonly DoorState[]): void {
    for (const { id, state, address, code, message: reason } of states) {
      const last = this.#known.get(id);
      if (last?.state === state && last.code === code && last.message === reason) continue;
      if (state === "open") this.#log.info("door open", { door: id, address });
      else this.#log.warn("door not open", { door: id, code, reason });
    }
    const now = new Map(states.map((state) => [state.id, state]));
    for (const id of this.#known.keys()) if (!now.has(id)) this.#log.info("door closed", { door: id });
    this.#known = now;
  }
}
