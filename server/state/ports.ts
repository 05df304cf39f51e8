import { randomInt } from "node:crypto";
import { CodedError } from "../../protocol/errors.ts";
import type { Logger } from "../../net/log.ts";
import type { Store } from "../store/store.ts";
import { type Claimant, Claims } from "./claims.ts";
import type { Grants, PortRange } from "./grants.ts";

/** A tunnel that asks for a port. */
export type PortClaimant = Claimant & { readonly grants: Grants };

export interface PortsOptions {
  /** The server's range, both ends included. */
  readonly range: PortRange;
  /** Whether the port can be bound on the server now. @default always */
  readonly probe?: (port: number) => Promise<boolean>;
  readonly hasEnded?: (tunnel: string) => boolean;
  readonly now?: () => number;
  readonly log?: Logger;
}

export interface AllocatePortOptions {
  /** This port and no other; left away, a free one is chosen. */
  readonly port?: number;
}

/** How long a released port is kept from others: visitors of the old service should have noticed by then. */
export const PORT_REST_MS = 5 * 60_000;

/** Ownership of public TCP ports. */
export class Ports implements Disposable {
  readonly #claims: Claims;
  readonly #range: PortRange;
  readonly #probe: (port: number) => Promise<boolean>;
  readonly #now: () => number;

  constructor(store: Store, options: PortsOptions) {
    this.#range = options.range;
    this.#probe = options.probe ?? (() => Promise.resolve(true));
    this.#now = options.now ?? Date.now;
    this.#claims = new Claims({ ...options, store, prefix: "ports.", restMs: PORT_REST_MS });
  }

  /** Loads the ports and follows them. */
  open(): Promise<void> {
    return this.#claims.open();
  }

  /** The id of the tunnel that owns the port; from memory. */
  ownerOf(port: number): string | undefined {
    return this.#claims.ownerOf(String(port));
  }

  /** The ports that the tunnel owns itself. */
  listOf(tunnel: string): number[] {
    return [...this.#claims.ofTunnel(tunnel)].map(([port]) => Number(port)).sort((a, b) => a - b);
  }

  /**
   * Throws unless the tunnel (or its parent) owns the port and it lies in the server's range: `PORT_OUT_OF_RANGE`,
   * `PORT_TAKEN`, `PORT_NOT_ALLOCATED`. From memory.
   */
  assertOwner(tunnel: Claimant, port: number): void {
    if (!contains(this.#range, port)) throw this.#outOfRange(port);
    if (this.#claims.mayUse(tunnel, String(port))) return;
    if (this.ownerOf(port) !== undefined) throw taken(port);
    throw new CodedError("PORT_NOT_ALLOCATED", `Port ${port} is not allocated to this tunnel`);
  }

  /**
   * Makes the tunnel the owner of a port, and returns it; one that it has already is fine too. Throws `PORT_OUT_OF_RANGE`,
   * `PORT_TAKEN`, `PORT_IN_USE`, `PORTS_EXHAUSTED` or `QUOTA_EXCEEDED`.
   */
  async allocate(tunnel: PortClaimant, options: AllocatePortOptions = {}): Promise<number> {
    if (options.port === undefined) return await this.#allocateAny(tunnel);
    await this.#allocateOne(tunnel, options.port);
    return options.port;
  }

  /** Gives the port up. Throws `PORT_TAKEN` or `PORT_NOT_ALLOCATED` when it is not the tunnel's. */
  async release(tunnel: Claimant, port: number): Promise<void> {
    if (Number.isInteger(port) && await this.#claims.release(String(port), tunnel.id)) return;
    if (this.ownerOf(port) !== undefined) throw taken(port);
    throw new CodedError("PORT_NOT_ALLOCATED", `Port ${port} is not allocated to this tunnel`);
  }

  /** Lets everything rest that a removed tunnel owned. */
  releaseAll(tunnel: string): Promise<void> {
    return this.#claims.releaseAll(tunnel);
  }

  /** See {@link Claims.sweep}. */
  sweep(exists: (tunnel: string) => boolean): Promise<void> {
    return this.#claims.sweep(exists);
  }

  [Symbol.dispose](): void {
    this.#claims[Symbol.dispose]();
  }

  async #allocateOne(tunnel: PortClaimant, port: number): Promise<void> {
    if (!this.#allowed(tunnel.grants, port)) throw this.#outOfRange(port);
    // Before the probe: on a port that is ours already, our own listener may be running.
    if (this.#claims.mayUse(tunnel, String(port))) return;
    if (this.ownerOf(port) === undefined && !await this.#probe(port)) {
      throw new CodedError("PORT_IN_USE", `Another program on the server uses port ${port}`);
    }
    const taking = await this.#claims.take(String(port), tunnel, { quota: tunnel.grants.maxPorts });
    if (taking.kind === "taken-by-other") throw taken(port);
    if (taking.kind === "quota") throw quotaExceeded(tunnel);
    if (taking.kind === "resting") {
      throw new CodedError(
        "PORT_TAKEN",
        `Port ${port} was released by another tunnel a moment ago; try again in 5 minutes`,
      );
    }
  }

  async #allocateAny(tunnel: PortClaimant): Promise<number> {
    for (const port of this.#candidates(tunnel)) {
      if (!await this.#probe(port)) continue;
      const taking = await this.#claims.take(String(port), tunnel, { quota: tunnel.grants.maxPorts });
      if (taking.kind === "quota") throw quotaExceeded(tunnel);
      if (taking.kind === "taken-now") return port;
    }
    throw new CodedError("PORTS_EXHAUSTED", `No port of ${this.#range.from}-${this.#range.to} is free for this tunnel`);
  }

  /** Free ports: those that nobody had lately in random order, then the longest unused. */
  #candidates(tunnel: PortClaimant): number[] {
    const fresh: number[] = [];
    const used: { port: number; since: number }[] = [];
    for (let port = this.#range.from; port <= this.#range.to; port++) {
      if (!this.#allowed(tunnel.grants, port)) continue;
      const claim = this.#claims.get(String(port));
      if (claim === undefined) fresh.push(port);
      else if (claim.kind === "resting" && claim.since + PORT_REST_MS <= this.#now()) {
        used.push({ port, since: claim.since });
      }
    }
    used.sort((a, b) => a.since - b.since);
    return [...shuffle(fresh), ...used.map((each) => each.port)];
  }

  #allowed(grants: Grants, port: number): boolean {
    return contains(this.#range, port) &&
      (grants.ports.length === 0 || grants.ports.some((range) => contains(range, port)));
  }

  #outOfRange(port: number): CodedError {
    const { from, to } = this.#range;
    const where = contains(this.#range, port)
      ? "the ranges granted to this tunnel"
      : `the server's range ${from}-${to}`;
    return new CodedError("PORT_OUT_OF_RANGE", `Port ${port} is outside ${where}`);
  }
}

function contains(range: PortRange, port: number): boolean {
  return Number.isInteger(port) && port >= range.from && port <= range.to;
}

function taken(port: number): CodedError {
  return new CodedError("PORT_TAKEN", `Port ${port} belongs to another tunnel`);
}

function quotaExceeded(tunnel: PortClaimant): CodedError {
  return new CodedError("QUOTA_EXCEEDED", `This tunnel may own ${tunnel.grants.maxPorts} ports, and has them`);
}

/** Fisher-Yates, so that a new service is not found by counting upwards. */
function shuffle(ports: number[]): number[] {
  for (let last = ports.length - 1; last > 0; last--) {
    const other = randomInt(last + 1);
    [ports[last], ports[other]] = [ports[other]!, ports[last]!];
  }
  return ports;
}
