import type { Logger } from "../net/log.ts";
import { createDns } from "./dns.ts";
import { DomainLooks } from "./domain_looks.ts";
import { edgeHost } from "./domain_pointing.ts";
import { DomainProofs } from "./domain_proofs.ts";
import type { ServerOptions } from "./options.ts";
import { repeat } from "./repeat.ts";
import type { Sessions } from "./sessions.ts";
import type { ServerState } from "./state/server_state.ts";

/** How often the server looks which records of domains are due: a sixth of the shortest time between two looks. */
const DOMAIN_LOOKS_MS = 10_000;

/** What proving domains needs. */
export interface DomainProofsParts {
  state: ServerState;
  sessions: Sessions;
  hostname: string;
  log: Logger;
}

/** Lets tunnels prove domains, and rules follow what is proven or given up. */
export function openDomainProofs(
  { domains, address }: ServerOptions,
  { state, sessions, hostname, log }: DomainProofsParts,
  stack: AsyncDisposableStack,
): DomainProofs {
  const dns = createDns(domains);
  const looks = stack.use(
    new DomainLooks({
      ...{ state, dns, log },
      tell: (tunnel, notice) => void sessions.serving(tunnel)?.send({ kind: "notice", ...notice }),
    }),
  );
  const proofs = stack.use(new DomainProofs({ state, looks, dns, edge: edgeHost(address, hostname) }));
  stack.use(state.names.watchProven((proven) => void sessions.refreshDomain(proven)));
  repeat(stack, DOMAIN_LOOKS_MS, () => void looks.tick());
  return proofs;
}
