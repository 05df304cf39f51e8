import { randomBytes } from "node:crypto";
import { CodedError } from "../../protocol/errors.ts";
import { type Logger, SILENT } from "../../net/log.ts";
import { retryOnConflict } from "../store/retry_on_conflict.ts";
import type { Store } from "../store/store.ts";
import { StoreMirror } from "../store/store_mirror.ts";
import type { Claimant } from "./claims.ts";
import { asRecord, checkFields } from "./records.ts";

/** A tunnel has said that a domain is theirs, and not yet proven it. */
export interface DomainRequest {
  readonly domain: string;
  readonly tunnel: string;
  /** The tunnel, or the one it is a temporary child of: they share the bound. */
  readonly family: string;
  /** What the TXT record must say. */
  readonly value: string;
  /** ms since the epoch. */
  readonly since: number;
}

export interface DomainsOptions {
  readonly now?: () => number;
  readonly log?: Logger;
}

/** A record that was not set in this time will not come: nobody asks the DNS for ever. */
export const GIVE_UP_MS = 7 * 24 * 3_600_000;
/** Each one is a question to the DNS every minute; more than anybody adds by hand. */
export const MAX_REQUESTS_PER_TUNNEL = 50;

/** Where the TXT record of `example.com` is: below the domain, so that it disturbs neither its other records nor a CNAME. */
const CHALLENGE_LABEL = "_spokes-challenge";
/** Says in a list of DNS records what this one is for. */
const VALUE_PREFIX = "spokes-verify=";
/** 192 bits: nobody guesses what another tunnel was asked to set. */
const VALUE_BYTES = 24;
/** Longest name in the DNS as text (RFC 1035 2.3.4). */
const MAX_NAME_CHARACTERS = 253;
/** What was given up stays listed for this long, so that its owner sees what became of it. */
const KEEP_EXPIRED_MS = 30 * 24 * 3_600_000;
/** What belongs to no tunnel is left alone for this long: this process may not know its tunnel yet. */
const ORPHAN_GRACE_MS = 5 * 60_000;
const PREFIX = "domain_requests.";

/** The name at which the TXT record of a domain is looked for. */
export function challengeName(domain: string): string {
  return `${CHALLENGE_LABEL}.${domain}`;
}

/** The domains that tunnels have asked for. Each tunnel has its own request with its own value; who proves first gets the domain. */
export class Domains implements Disposable {
  readonly #store: Store;
  readonly #now: () => number;
  readonly #mirror: StoreMirror<DomainRequest>;

  constructor(store: Store, options: DomainsOptions = {}) {
    this.#store = store;
    this.#now = options.now ?? Date.now;
    this.#mirror = new StoreMirror<DomainRequest>(PREFIX, { parse: parseRequest, log: options.log ?? SILENT });
  }

  /** Loads the requests and follows them. */
  open(): Promise<void> {
    return this.#mirror.follow(this.#store);
  }

  /** The tunnel's request for a domain; from memory. */
  get(tunnel: string, domain: string): DomainRequest | undefined {
    return this.#mirror.get(`${tunnel}.${domain}`);
  }

  /** The tunnel's requests, or those of all, oldest first; from memory. */
  list(tunnel?: string): DomainRequest[] {
    const all = [...this.#mirror.entries()].map(([, request]) => request);
    return all.filter((request) => tunnel === undefined || request.tunnel === tunnel).sort((a, b) => a.since - b.since);
  }

  /** Whether nobody looks for the record any more. */
  isExpired({ since }: DomainRequest): boolean {
    return since + GIVE_UP_MS <= this.#now();
  }

  /**
   * Notes that the tunnel wants to prove a domain. What it asked for before keeps its value, so that a record that is set stays
   * right, and begins anew when it was given up. Throws `NAME_INVALID` and `QUOTA_EXCEEDED`; the domain is valid otherwise.
   */
  async add(tunnel: Claimant, domain: string): Promise<DomainRequest> {
    if (challengeName(domain).length > MAX_NAME_CHARACTERS) {
      throw new CodedError("NAME_INVALID", `"${domain}" is too long: the name of its TXT record would be no name`);
    }
    const key = `${tunnel.id}.${domain}`;
    const family = tunnel.parent ?? tunnel.id;
    return await retryOnConflict(async () => {
      const entry = await this.#store.get(PREFIX + key);
      const known = entry === null ? undefined : parseRequest(entry.value);
      if (known !== undefined && !this.isExpired(known)) return known;
      const value = known?.value ?? VALUE_PREFIX + randomBytes(VALUE_BYTES).toString("base64url");
      const request: DomainRequest = { domain, tunnel: tunnel.id, family, value, since: this.#now() };
      const revision = await this.#store.put(PREFIX + key, request, { expect: entry?.revision ?? 0 });
      this.#mirror.applyPut(key, request, revision);
      if (this.#countOlder(family, revision) < MAX_REQUESTS_PER_TUNNEL) return request;
      await this.remove(tunnel.id, domain);
      throw new CodedError(
        "QUOTA_EXCEEDED",
        `This tunnel waits for ${MAX_REQUESTS_PER_TUNNEL} domains to be verified, and may not for more`,
      );
    });
  }

  /** Whether the request still stands, asked from the store itself. */
  async stands({ tunnel, domain, value }: DomainRequest): Promise<boolean> {
    const entry = await this.#store.get(`${PREFIX}${tunnel}.${domain}`);
    return entry !== null && parseRequest(entry.value).value === value;
  }

  /** Forgets the request; false when there is none. */
  async remove(tunnel: string, domain: string): Promise<boolean> {
    const key = `${tunnel}.${domain}`;
    if (await this.#store.get(PREFIX + key) === null) return false;
    await this.#store.delete(PREFIX + key);
    this.#mirror.applyDelete(key);
    return true;
  }

  /** Forgets the requests of tunnels that do not exist, and what was given up long ago. */
  async sweep(exists: (tunnel: string) => boolean): Promise<void> {
    const now = this.#now();
    for (const { tunnel, domain, since } of this.list()) {
      const orphaned = !exists(tunnel) && since + ORPHAN_GRACE_MS < now;
      if (orphaned || since + GIVE_UP_MS + KEEP_EXPIRED_MS < now) await this.remove(tunnel, domain);
    }
  }

  [Symbol.dispose](): void {
    this.#mirror[Symbol.dispose]();
  }

  /** Those of the family that the store wrote before `revision`: of several that came at once the last are too many. */
  #countOlder(family: string, revision: number): number {
    let count = 0;
    for (const [, request, written] of this.#mirror.entries()) {
      if (request.family === family && written < revision && !this.isExpired(request)) count++;
    }
    return count;
  }
}

function parseRequest(value: unknown): DomainRequest {
  const record = asRecord(value);
  const strings = { domain: "string", tunnel: "string", family: "string", value: "string" } as const;
  checkFields(record, { ...strings, since: "number" });
  return record as unknown as DomainRequest;
}
