import type { ControlChannel } from "../net/control_channel.ts";

/** The heart beat of one control channel: by it the server hears of us, and we see when the server is gone. */
export class Heartbeat {
  readonly #control: ControlChannel;
  readonly #intervalMs: number;
  #beatAt = 0;

  constructor(control: ControlChannel, intervalMs: number) {
    this.#control = control;
    this.#intervalMs = intervalMs;
  }

  /** Several times a second: pings when it is time, and cuts a channel that is silent for three intervals. */
  sweep(now: number): void {
    const control = this.#control;
    if (now - control.heardAt > 3 * this.#intervalMs) return control.reset();
    // Whatever we hear: it is the server that must hear of us.
    if (now - this.#beatAt < this.#intervalMs) return;
    this.#beatAt = now;
    control.ping().catch(() => control.reset());
  }

  /** Finds out now whether the channel still lives, and cuts it if not. */
  ask(): void {
    this.#control.isAlive(this.#intervalMs).then((alive) => {
      if (!alive) this.#control.reset();
    });
  }
}
