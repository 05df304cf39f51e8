/** When silence is looked into, and when it is the end. */
export interface LivenessLimits {
  /** After so long without a word from the peer, or to it, it is pinged. */
  readonly silenceMs: number;
  /** After a ping something must come in this time. */
  readonly pongMs: number;
}

/** What one end of a connection knows about whether the other one lives. Times are of `performance.now()`, ms. */
export class Liveness {
  /** When the peer was last heard. */
  heardAt: number = performance.now();
  /** Somebody waits for bytes: only then does the peer's silence mean anything. */
  listening = false;
  /** Something was written since the last check. */
  wrote = false;
  /** When a check last found that something was written. */
  #wroteAt: number = performance.now();
  #pingedAt: number | null = null;
  /** When a check first found us listening in vain since the last byte or the last time we were held back. */
  #quietSince: number | null = null;

  /** Bytes have come. */
  onHeard(now: number): void {
    this.heardAt = now;
    this.#pingedAt = null;
    this.#quietSince = null;
  }

  /** A ping goes out. */
  onPing(now: number): void {
    this.#pingedAt = now;
    this.#wroteAt = now;
  }

  /**
   * What to do about the peer. It is pinged when for `silenceMs` nothing was heard from it, or nothing sent to it: a peer whose ping is
   * stuck behind bytes that we take in slowly learns from ours that we live. It is gone when nothing came for `pongMs` after a ping.
   */
  judge(now: number, { silenceMs, pongMs }: LivenessLimits): "alive" | "ping" | "gone" {
    if (this.wrote) {
      this.wrote = false;
      this.#wroteAt = now;
    }
    // A reader that is held back cannot hear the peer, and must not judge it; its own pings still tell the peer that it lives.
    this.#quietSince = this.listening ? this.#quietSince ?? now : null;
    if (this.#pingedAt !== null && this.#quietSince !== null) {
      if (now - Math.max(this.#pingedAt, this.#quietSince) >= pongMs) return "gone";
    }
    const since = this.#pingedAt === null ? this.heardAt : Math.max(this.heardAt, this.#pingedAt);
    return now - since >= silenceMs || now - this.#wroteAt >= silenceMs ? "ping" : "alive";
  }
}
