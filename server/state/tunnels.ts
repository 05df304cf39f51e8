import { randomUUID } from "node:crypto";
import { CodedError } from "../../protocol/errors.ts";
import { type Logger, SILENT } from "../../net/log.ts";
import { retryOnConflict } from "../store/retry_on_conflict.ts";
import type { Store } from "../store/store.ts";
import { StoreMirror } from "../store/store_mirror.ts";
import type { EnrolmentToken } from "./enrolment_tokens.ts";
import type { Grants } from "./grants.ts";
import type { Names } from "./names.ts";
import type { Ports } from "./ports.ts";
import { asRecord, checkFields } from "./records.ts";
import { createToken, parseToken, verifyDigest } from "./secrets.ts";
import type { Sightings } from "./sightings.ts";

/** An enrolled client identity. Times are ms since the epoch. */
export interface Tunnel {
  /** A UUID: what ownership and policy go by. */
  readonly id: string;
  /** For people; need not be unique. */
  readonly name: string;
  /** Its assigned name under the server's domain. */
  readonly hostname: string;
  readonly owner: string;
  readonly tags: readonly string[];
  readonly grants: Grants;
  readonly createdAt: number;
  /** Set on the temporary tunnel of a one-shot: the tunnel that asked for it. */
  readonly parent?: string;
}

/** A tunnel's token in plain text: shown once, stored nowhere. */
export interface IssuedTunnel {
  readonly tunnel: Tunnel;
  readonly token: string;
}

/** What a watcher of the tunnels hears. */
export type TunnelChange =
  | { readonly kind: "changed"; readonly tunnel: Tunnel }
  | { readonly kind: "removed"; readonly id: string };

/** What tunnels own and leave behind: freed with them. */
export interface TunnelParts {
  readonly names: Names;
  readonly ports: Ports;
  readonly sightings: Sightings;
}

export interface TunnelsOptions {
  /** A temporary tunnel is removed this long after its session ended. @default 5 minutes */
  readonly temporaryTunnelMs?: number;
  readonly now?: () => number;
  readonly log?: Logger;
}

/** After the token was rotated the old one stays valid until the new one is first used: an answer that got lost locks nobody out. */
type StoredTunnel = Tunnel & { readonly digest: string; readonly nextDigest?: string };

/** Default of `temporaryTunnelMs`: long enough to start a one-shot again at the same address. */
export const TEMPORARY_GRACE_MS = 5 * 60_000;
/** As many as a tunnel has `use` sessions: each one-shot hangs on one. */
const MAX_TEMPORARY_TUNNELS = 64;

const PREFIX = "tunnels.";
// deno-lint-ignore no-control-regex
const NAME = /^[^\u0000-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069]{1,64}$/u;

/** The tunnels: who they are, and by which token they prove it. */
export class Tunnels implements Disposable {
  readonly #store: Store;
  readonly #names: Names;
  readonly #ports: Ports;
  readonly #now: () => number;
  readonly #temporaryMs: number;
  readonly #tunnels: StoreMirror<StoredTunnel>;
  readonly #sightings: Sightings;
  readonly #listeners = new Set<(change: TunnelChange) => void>();

  constructor(store: Store, parts: TunnelParts, options: TunnelsOptions = {}) {
    this.#store = store;
    this.#names = parts.names;
    this.#ports = parts.ports;
    this.#sightings = parts.sightings;
    this.#now = options.now ?? Date.now;
    this.#temporaryMs = options.temporaryTunnelMs ?? TEMPORARY_GRACE_MS;
    this.#tunnels = new StoreMirror<StoredTunnel>(PREFIX, {
      parse: parseStored,
      onChange: (id, next) => this.#tell(next === undefined ? { kind: "removed", id } : changeOf(next)),
      log: options.log ?? SILENT,
    });
  }

  /** Loads the tunnels and follows them. */
  open(): Promise<void> {
    return this.#tunnels.follow(this.#store);
  }

  /** Makes a tunnel of an enrolment token that was just consumed. Throws `USAGE` for a name that cannot be shown. */
  create(enrolment: EnrolmentToken, options: { readonly name?: string } = {}): Promise<IssuedTunnel> {
    const { owner, tags, grants } = enrolment;
    return this.#create({ id: randomUUID(), owner, tags, grants, ...options });
  }

  /**
   * Makes a temporary tunnel below `parent`, with its owner, tags, grants and quota; it may use what its parent owns. Throws
   * `QUOTA_EXCEEDED` when 64 of them are running and `REVOKED` when the parent was removed.
   */
  async createTemporary(parent: Tunnel, options: { readonly name?: string } = {}): Promise<IssuedTunnel> {
    if (parent.parent !== undefined) throw new CodedError("USAGE", "A temporary tunnel cannot have tunnels of its own");
    await this.#makeRoomBelow(parent.id);
    const { owner, tags, grants, name } = parent;
    const issued = await this.#create({ id: randomUUID(), owner, tags, grants, name, ...options, parent: parent.id });
    const isRevoked = await this.#store.get(PREFIX + parent.id) === null;
    // Both were looked at before; what happened since must not slip through.
    const isTooMany = this.#countOlderSiblings(issued.tunnel.id, parent.id) >= MAX_TEMPORARY_TUNNELS;
    if (isRevoked || isTooMany) {
      await this.remove(issued.tunnel.id);
      throw isRevoked ? new CodedError("REVOKED") : tooManyTemporary();
    }
    return issued;
  }

  /** The tunnel that a token belongs to, asked from the store itself. Throws `TOKEN_INVALID`. */
  authenticate(token: string): Promise<Tunnel> {
    const presented = parseToken("tunnel", token);
    return retryOnConflict(async () => {
      // A malformed token takes the same way as an unknown one.
      const entry = await this.#store.get(PREFIX + (presented === null ? "unknown" : uuidOf(presented.id)));
      const stored = entry === null ? null : parseStored(entry.value);
      const isNext = verifyDigest(presented?.digest, stored?.nextDigest === undefined ? [] : [stored.nextDigest]);
      const isCurrent = verifyDigest(presented?.digest, stored === null ? [] : [stored.digest]);
      if (entry === null || stored === null || !(isCurrent || isNext)) throw new CodedError("TOKEN_INVALID");
      if (isNext) {
        const { nextDigest: digest = stored.digest, ...rest } = stored;
        await this.#put({ ...rest, digest }, entry.revision);
      }
      return toPublic(stored);
    });
  }

  /** A new token for the tunnel; the old one ends when the new one is first used. Throws `REVOKED` when it was removed. */
  async rotateToken(id: string): Promise<string> {
    const { token, digest } = createToken("tunnel", id.replaceAll("-", ""));
    await this.#update(id, (stored) => ({ ...stored, nextDigest: digest }));
    return token;
  }

  /** Gives the tunnel another display name. Throws `USAGE` for one that cannot be shown and `REVOKED` when it was removed. */
  async rename(id: string, name: string): Promise<Tunnel> {
    checkTunnelName(name);
    return toPublic(await this.#update(id, (stored) => ({ ...stored, name })));
  }

  /** Whether the tunnel exists, asked from the store itself. */
  async exists(id: string): Promise<boolean> {
    return await this.#store.get(PREFIX + id) !== null;
  }

  /** The tunnel as far as this process knows. */
  get(id: string): Tunnel | undefined {
    const stored = this.#tunnels.get(id);
    return stored === undefined ? undefined : toPublic(stored);
  }

  /** All tunnels as far as this process knows, oldest first. */
  list(): Tunnel[] {
    return [...this.#tunnels.entries()].map(([, stored]) => toPublic(stored)).sort((a, b) => a.createdAt - b.createdAt);
  }

  /** Removes the tunnel, its temporary tunnels, and what they own. False when there is none with this id. */
  async remove(id: string): Promise<boolean> {
    if (this.#tunnels.get(id) === undefined) return false;
    for (const child of this.#childrenOf(id)) await this.remove(child.id);
    // First, so that it can neither connect nor take more while its names and ports are freed.
    await this.#store.delete(PREFIX + id);
    this.#tunnels.applyDelete(id);
    await Promise.all([this.#names.releaseAll(id), this.#ports.releaseAll(id)]);
    await this.#sightings.forget(id);
    return true;
  }

  /** Tells of every tunnel that is made, changed or removed by any process, until disposed. */
  watch(listener: (change: TunnelChange) => void): Disposable {
    this.#listeners.add(listener);
    return { [Symbol.dispose]: () => void this.#listeners.delete(listener) };
  }

  /**
   * Removes temporary tunnels that nobody has seen for `temporaryTunnelMs`, unless `isLive` knows better. Returns the ids of the removed tunnels.
   */
  async sweepTemporary(now: number, isLive: (id: string) => boolean = () => false): Promise<string[]> {
    const removed: string[] = [];
    for (const tunnel of this.list()) {
      if (tunnel.parent === undefined || isLive(tunnel.id)) continue;
      const orphaned = this.#tunnels.get(tunnel.parent) === undefined;
      const seenAt = this.#sightings.get(tunnel.id)?.at ?? tunnel.createdAt;
      if (!orphaned && seenAt + this.#temporaryMs > now) continue;
      if (await this.remove(tunnel.id)) removed.push(tunnel.id);
    }
    return removed;
  }

  [Symbol.dispose](): void {
    this.#tunnels[Symbol.dispose]();
    this.#listeners.clear();
  }

  async #create(
    fields: Omit<Tunnel, "name" | "hostname" | "createdAt"> & { readonly name?: string },
  ): Promise<IssuedTunnel> {
    if (fields.name !== undefined) checkTunnelName(fields.name);
    const hostname = await this.#names.assign(fields);
    const name = fields.name ?? hostname.slice(0, hostname.indexOf("."));
    const tunnel: Tunnel = { ...fields, name, hostname, createdAt: this.#now() };
    const { token, digest } = createToken("tunnel", tunnel.id.replaceAll("-", ""));
    await this.#put({ ...tunnel, digest }, 0);
    return { tunnel, token };
  }

  async #makeRoomBelow(parent: string): Promise<void> {
    const children = this.#childrenOf(parent);
    if (children.length < MAX_TEMPORARY_TUNNELS) return;
    const gone = children.filter((child) => this.#sightings.hasEnded(child.id));
    const longestGone = gone.sort((a, b) => this.#seenAt(a.id) - this.#seenAt(b.id))[0];
    if (longestGone === undefined) throw tooManyTemporary();
    await this.remove(longestGone.id);
  }

  #seenAt(id: string): number {
    return this.#sightings.get(id)?.at ?? 0;
  }

  #childrenOf(id: string): Tunnel[] {
    return this.list().filter((tunnel) => tunnel.parent === id);
  }

  #countOlderSiblings(id: string, parent: string): number {
    const siblings = [...this.#tunnels.entries()].filter(([, stored]) => stored.parent === parent);
    const own = siblings.find(([sibling]) => sibling === id)?.[2] ?? Infinity;
    return siblings.filter(([, , revision]) => revision < own).length;
  }

  #update(id: string, change: (stored: StoredTunnel) => StoredTunnel): Promise<StoredTunnel> {
    return retryOnConflict(async () => {
      const entry = await this.#store.get(PREFIX + id);
      if (entry === null) throw new CodedError("REVOKED");
      const next = change(parseStored(entry.value));
      await this.#put(next, entry.revision);
      return next;
    });
  }

  async #put(stored: StoredTunnel, expect: number): Promise<void> {
    const revision = await this.#store.put(PREFIX + stored.id, stored, { expect });
    this.#tunnels.applyPut(stored.id, stored, revision);
  }

  #tell(change: TunnelChange): void {
    for (const listener of this.#listeners) listener(change);
  }
}

function changeOf(stored: StoredTunnel): TunnelChange {
  return { kind: "changed", tunnel: toPublic(stored) };
}

function tooManyTemporary(): CodedError {
  return new CodedError(
    "QUOTA_EXCEEDED",
    `This tunnel may have ${MAX_TEMPORARY_TUNNELS} temporary tunnels, and has them`,
  );
}

function uuidOf(tokenId: string): string {
  return tokenId.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
}

/** Throws `USAGE` unless the name can be shown in one line of a table. */
export function checkTunnelName(name: string): void {
  if (!NAME.test(name) || name.trim() !== name) {
    throw new CodedError("USAGE", "A tunnel name has 1 to 64 visible characters, and no space at its ends");
  }
}

function parseStored(value: unknown): StoredTunnel {
  const record = asRecord(value);
  const strings = { id: "string", name: "string", hostname: "string", owner: "string", digest: "string" } as const;
  checkFields(record, { ...strings, tags: "object", grants: "object", createdAt: "number" });
  return record as unknown as StoredTunnel;
}

function toPublic({ digest: _digest, nextDigest: _nextDigest, ...tunnel }: StoredTunnel): Tunnel {
  return tunnel;
}
