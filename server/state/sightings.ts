import { type Logger, SILENT } from "../../net/log.ts";
import type { Store } from "../store/store.ts";
import { StoreMirror } from "../store/store_mirror.ts";
import { asRecord, checkFields } from "./records.ts";

/** When (ms since the epoch) and from which address a tunnel was last connected; `ended` when it is known to have gone. */
export interface Sighting {
  readonly at: number;
  readonly from: string;
  readonly ended: boolean;
}

export interface SightingsOptions {
  readonly now?: () => number;
  readonly log?: Logger;
}

/** A connected temporary tunnel is noted at least this often: well within the 5 minutes after which it is removed. */
export const SIGHTING_INTERVAL_MS = 60_000;

const PREFIX = "sightings.";
/** A sighting without a tunnel may be of one in the making; after this it is a leftover. */
const ORPHAN_GRACE_MS = 5 * 60_000;

/** When each tunnel was last seen: apart from the tunnels, since it changes often and nobody decides on it. */
export class Sightings implements Disposable {
  readonly #store: Store;
  readonly #now: () => number;
  readonly #mirror: StoreMirror<Sighting>;

  constructor(store: Store, options: SightingsOptions = {}) {
    this.#store = store;
    this.#now = options.now ?? Date.now;
    this.#mirror = new StoreMirror<Sighting>(PREFIX, { parse: parseSighting, log: options.log ?? SILENT });
  }

  /** Loads the sightings and follows them. */
  open(): Promise<void> {
    return this.#mirror.follow(this.#store);
  }

  /** When the tunnel was last seen, if ever; from memory. */
  get(tunnel: string): Sighting | undefined {
    return this.#mirror.get(tunnel);
  }

  /** Whether the tunnel's session is known to have ended; from memory. */
  hasEnded(tunnel: string): boolean {
    return this.#mirror.get(tunnel)?.ended === true;
  }

  /** Notes that the tunnel connected from `from`, is still connected, or has just gone. */
  async note(tunnel: string, sighting: { readonly from: string; readonly ended?: boolean }): Promise<void> {
    const record: Sighting = { at: this.#now(), from: sighting.from, ended: sighting.ended ?? false };
    const revision = await this.#store.put(PREFIX + tunnel, record);
    this.#mirror.applyPut(tunnel, record, revision);
  }

  /** The tunnel was removed. */
  async forget(tunnel: string): Promise<void> {
    await this.#store.delete(PREFIX + tunnel);
    this.#mirror.applyDelete(tunnel);
  }

  /** Forgets tunnels that do not exist: one was noted while it was being removed. */
  async sweep(exists: (tunnel: string) => boolean): Promise<void> {
    for (const [tunnel, sighting] of [...this.#mirror.entries()]) {
      if (!exists(tunnel) && sighting.at + ORPHAN_GRACE_MS < this.#now()) await this.forget(tunnel);
    }
  }

  [Symbol.dispose](): void {
    this.#mirror[Symbol.dispose]();
  }
}

function parseSighting(value: unknown): Sighting {
  const record = asRecord(value);
  checkFields(record, { at: "number", from: "string" });
  return record as unknown as Sighting;
}
