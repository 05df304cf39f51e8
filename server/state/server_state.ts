import type { Logger } from "../../net/log.ts";
import type { Store } from "../store/store.ts";
import { Domains } from "./domains.ts";
import { EnrolmentTokens } from "./enrolment_tokens.ts";
import type { PortRange } from "./grants.ts";
import { Names } from "./names.ts";
import { Ports } from "./ports.ts";
import { SealedNames } from "./sealed_names.ts";
import { ServiceNames } from "./service_names.ts";
import { Sightings } from "./sightings.ts";
import { checkTunnelName, type IssuedTunnel, Tunnels } from "./tunnels.ts";

export interface ServerStateOptions {
  /** The domain below which tunnels get names, canonical. */
  readonly domain: string;
  /** The server's own host name or address. */
  readonly hostname: string;
  /** Domains below which any tunnel may take a name without proof, canonical. @default none */
  readonly withoutProof?: readonly string[];
  /** The range of public TCP ports. */
  readonly ports: PortRange;
  /** Whether a port can be bound on the server now. @default always */
  readonly probe?: (port: number) => Promise<boolean>;
  /** A one-shot's tunnel is removed this long after its session ended. @default 5 minutes */
  readonly temporaryTunnelMs?: number;
  readonly now?: () => number;
  readonly log?: Logger;
}

/** Everything the server remembers, on one store. */
export interface ServerState extends Disposable {
  readonly enrolmentTokens: EnrolmentTokens;
  readonly tunnels: Tunnels;
  readonly names: Names;
  readonly domains: Domains;
  readonly ports: Ports;
  readonly sealedNames: SealedNames;
  readonly serviceNames: ServiceNames;
  readonly sightings: Sightings;
  /** Turns an enrolment token into a tunnel. Throws `TOKEN_INVALID`, `TOKEN_EXPIRED`, `TOKEN_USED` or `USAGE`. */
  enrol(token: string, options?: { readonly name?: string }): Promise<IssuedTunnel>;
  /** Housekeeping, about once a minute: ended one-shots, orphaned ownership, what has rested long enough. */
  sweep(isLive?: (tunnel: string) => boolean): Promise<void>;
}

/** Loads the state from `store` and follows it; the store stays the caller's to dispose. */
export async function openServerState(store: Store, options: ServerStateOptions): Promise<ServerState> {
  const now = options.now ?? Date.now;
  const sightings = new Sightings(store, { ...options, now });
  const hasEnded = (id: string): boolean => sightings.hasEnded(id);
  const enrolmentTokens = new EnrolmentTokens(store, { now });
  const names = new Names(store, { ...options, hasEnded });
  const domains = new Domains(store, options);
  const ports = new Ports(store, { ...options, range: options.ports, hasEnded });
  const sealedNames = new SealedNames(store, { ...options, ownerOf: (name) => names.ownerOf(name) });
  const serviceNames = new ServiceNames(store, options);
  const tunnels = new Tunnels(store, { names, ports, sightings }, options);
  function dispose(): void {
    const parts = [names, domains, ports, sealedNames, serviceNames, tunnels, sightings];
    for (const part of parts) part[Symbol.dispose]();
  }
  try {
    const parts = [names, domains, ports, sealedNames, serviceNames, sightings, tunnels];
    await Promise.all(parts.map((part) => part.open()));
  } catch (error) {
    dispose();
    throw error;
  }
  return {
    enrolmentTokens,
    tunnels,
    names,
    domains,
    ports,
    sealedNames,
    serviceNames,
    sightings,
    async enrol(token, enrolOptions = {}): Promise<IssuedTunnel> {
      // Before the token is used up for nothing.
      if (enrolOptions.name !== undefined) checkTunnelName(enrolOptions.name);
      return await tunnels.create(await enrolmentTokens.consume(token), enrolOptions);
    },
    async sweep(isLive = () => false): Promise<void> {
      await tunnels.sweepTemporary(now(), isLive);
      const exists = (id: string): boolean => tunnels.get(id) !== undefined;
      await names.sweep(exists);
      await domains.sweep(exists);
      await ports.sweep(exists);
      await sealedNames.sweep(exists);
      await serviceNames.sweep();
      await sightings.sweep(exists);
      await enrolmentTokens.prune();
    },
    [Symbol.dispose]: dispose,
  };
}
