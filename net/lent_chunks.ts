import { BULK_BYTES, type Duplex } from "./duplex.ts";

/** Chunks of one connection whose pieces may be in use at once: one is read while the one before it is written. */
const MAX_TRACKED = 4;

interface LentChunk {
  readonly chunk: Uint8Array;
  /** Pieces of it that somebody holds. */
  held: number;
  usedUp: boolean;
}

/** Gives the memory of what was read back to its connection, once every piece that was cut from it has come back. */
export class LentChunks {
  readonly #owner: Duplex;
  readonly #chunks: LentChunk[] = [];

  constructor(owner: Duplex) {
    this.#owner = owner;
  }

  /** The next chunk is cut into pieces; of the one before there are no more. */
  begin(chunk: Uint8Array): void {
    if (this.#owner.reuse === undefined) return;
    this.#finish();
    if (chunk.length < BULK_BYTES) return;
    // Whoever does not give pieces back must not fill this list.
    if (this.#chunks.length === MAX_TRACKED) this.#chunks.shift();
    this.#chunks.push({ chunk, held: 0, usedUp: false });
  }

  /** A piece was cut from the chunk at hand; `last` when it was the last one. */
  lend(piece: Uint8Array, last: boolean): void {
    const lent = this.#chunks.at(-1);
    if (lent === undefined || lent.chunk.buffer !== piece.buffer) return;
    lent.held++;
    lent.usedUp = last;
  }

  /** Nobody holds the piece any more. */
  giveBack(piece: Uint8Array): void {
    const at = this.#chunks.findIndex(({ chunk }) => chunk.buffer === piece.buffer);
    const lent = this.#chunks[at];
    if (lent === undefined) return;
    lent.held--;
    if (lent.usedUp && lent.held === 0) this.#free(at);
  }

  #finish(): void {
    const at = this.#chunks.length - 1;
    const last = this.#chunks[at];
    if (last === undefined) return;
    last.usedUp = true;
    if (last.held === 0) this.#free(at);
  }

  #free(at: number): void {
    const [lent] = this.#chunks.splice(at, 1);
    if (lent !== undefined) this.#owner.reuse?.(lent.chunk);
  }
}
