import { type Logger, SILENT } from "../../net/log.ts";
import type { Store } from "../store/store.ts";
import { StoreMirror } from "../store/store_mirror.ts";
import type { Claimant } from "./claims.ts";
import { namesAbove } from "./name_rules.ts";
import { asRecord, checkFields } from "./records.ts";

export interface SealedNamesOptions {
  /** The tunnel that owns a name: what another one has sealed counts no more. */
  readonly ownerOf: (name: string) => string | undefined;
  readonly now?: () => number;
  readonly log?: Logger;
}

/** `tunnel` has sealed it; `family` is the tunnel, or the one it is a temporary child of. `since` is ms since the epoch. */
interface Seal {
  readonly tunnel: string;
  readonly family: string;
  readonly since: number;
  /** What is below the name is sealed with it. */
  readonly below?: true;
}

const PREFIX = "sealed_names.";
/** What belongs to no tunnel is left alone for this long: this process may not know its owner yet. */
const ORPHAN_GRACE_MS = 5 * 60_000;

/**
 * Names whose last rule said that their TLS ends in the client or at the target: the server may never show a certificate for them, also
 * not while the tunnel is away, when no rule is there that says so.
 */
export class SealedNames implements Disposable {
  readonly #store: Store;
  readonly #ownerOf: SealedNamesOptions["ownerOf"];
  readonly #now: () => number;
  readonly #mirror: StoreMirror<Seal>;
  /** The names that each tunnel has sealed: a client that comes must not cost a look through all. */
  readonly #byTunnel = new Map<string, Set<string>>();
  #last: Promise<void> = Promise.resolve();

  constructor(store: Store, options: SealedNamesOptions) {
    this.#store = store;
    this.#ownerOf = options.ownerOf;
    this.#now = options.now ?? Date.now;
    this.#mirror = new StoreMirror<Seal>(PREFIX, {
      parse: parseSeal,
      onChange: (name, next, previous) => this.#index(name, next, previous),
      log: options.log ?? SILENT,
    });
  }

  /** Loads the names and follows them. */
  open(): Promise<void> {
    return this.#mirror.follow(this.#store);
  }

  /** Whether the owner of the name has sealed it; from memory, for routing. */
  has(name: string): boolean {
    const owner = this.#ownerOf(name);
    if (owner === undefined) return false;
    const isSealed = (seal: Seal | undefined) => seal?.tunnel === owner || seal?.family === owner;
    if (isSealed(this.#mirror.get(name))) return true;
    return namesAbove(name).some((above) => {
      const seal = this.#mirror.get(above);
      return seal?.below === true && isSealed(seal);
    });
  }

  /** Seals a name that the tunnel may use; one that it or its parent has sealed already is fine. */
  seal({ id, parent }: Claimant, name: string, { below }: { readonly below: boolean }): Promise<void> {
    return this.#inTurn(async () => {
      const known = this.#mirror.get(name);
      if (known !== undefined && (known.tunnel === id || known.tunnel === parent)) return;
      const seal: Seal = { tunnel: id, family: parent ?? id, since: this.#now(), ...(below ? { below } : {}) };
      const revision = await this.#store.put(PREFIX + name, seal);
      this.#mirror.applyPut(name, seal, revision);
    });
  }

  /** The server may end TLS for the name again, as far as it is this tunnel's to say: what its parent or a stranger has sealed stays so. */
  async unseal({ id }: Pick<Claimant, "id">, name: string): Promise<void> {
    await this.#unsealIf(name, ({ tunnel, family }) => tunnel === id || family === id);
  }

  /** Unseals what the tunnel has sealed and has no rule for any more. */
  async keepOnly(tunnel: string, names: { has(name: string): boolean }): Promise<void> {
    for (const name of [...this.#byTunnel.get(tunnel) ?? []]) {
      if (!names.has(name)) await this.unseal({ id: tunnel }, name);
    }
  }

  /** Forgets what was sealed by tunnels that do not exist, or do not own the name any more. */
  async sweep(exists: (tunnel: string) => boolean): Promise<void> {
    for (const [name] of [...this.#mirror.entries()]) {
      await this.#unsealIf(name, ({ tunnel, family, since }) => {
        const owner = this.#ownerOf(name);
        const counts = exists(tunnel) && (owner === tunnel || owner === family);
        return !counts && since + ORPHAN_GRACE_MS < this.#now();
      });
    }
  }

  [Symbol.dispose](): void {
    this.#mirror[Symbol.dispose]();
  }

  #unsealIf(name: string, mayBe: (seal: Seal) => boolean): Promise<void> {
    return this.#inTurn(async () => {
      const known = this.#mirror.get(name);
      if (known === undefined || !mayBe(known)) return;
      await this.#store.delete(PREFIX + name);
      this.#mirror.applyDelete(name);
    });
  }

  /** Between a look at the mirror and the write that follows nothing may change. */
  #inTurn(work: () => Promise<void>): Promise<void> {
    const done = this.#last.then(work);
    this.#last = done.catch(() => {/* whoever waits for it sees it */});
    return done;
  }

  #index(name: string, next: Seal | undefined, previous: Seal | undefined): void {
    if (previous !== undefined) {
      const names = this.#byTunnel.get(previous.tunnel);
      names?.delete(name);
      if (names?.size === 0) this.#byTunnel.delete(previous.tunnel);
    }
    if (next === undefined) return;
    const names = this.#byTunnel.get(next.tunnel);
    if (names === undefined) this.#byTunnel.set(next.tunnel, new Set([name]));
    else names.add(name);
  }
}

function parseSeal(value: unknown): Seal {
  const record = asRecord(value);
  checkFields(record, { tunnel: "string", family: "string", since: "number" });
  return record as unknown as Seal;
}
