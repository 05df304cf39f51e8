import { ConnectionCounter } from "./connection_counter.ts";
import type { Settings } from "./settings.ts";

/** Who counts against which limit: tunnels and visitors do not take each other's place. */
export interface ConnectionCounters {
  readonly visitors: ConnectionCounter;
  /** Connections to the TLS port that have not yet said whom they want. */
  readonly undecided: ConnectionCounter;
  /** Connections to the tunnel endpoint that have proven nothing yet. */
  readonly unauthenticated: ConnectionCounter;
}

/** The counters of a server, with its limits. */
export function createConnectionCounters({ limits, isExempt: exempt }: Settings): ConnectionCounters {
  const forVisitors = { perAddress: limits.visitorsPerAddress, total: limits.visitors, exempt };
  return {
    visitors: new ConnectionCounter(forVisitors),
    // Whoever they turn out to be, there may be room for them.
    undecided: new ConnectionCounter({ ...forVisitors, total: limits.visitors + limits.unauthenticated }),
    unauthenticated: new ConnectionCounter({
      perAddress: limits.unauthenticatedPerAddress,
      total: limits.unauthenticated,
      dropFrom: limits.unauthenticated >> 1,
      exempt,
    }),
  };
}
