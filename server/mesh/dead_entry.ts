import { type Address, isLoopback, parseAddress } from "../../net/address.ts";
import type { AllowEntry, AllowList, NetworkEntry } from "./allow_list.ts";
import { forbiddenReason } from "./forbidden.ts";
import type { OwnAddresses } from "./own_addresses.ts";

/** What is asked about an entry. */
export interface DeadEntryOptions {
  readonly allow: AllowList;
  readonly own: OwnAddresses;
  /** What a name stands for. @default for `localhost` and names below it what everybody knows, else it is not known */
  readonly addresses?: readonly string[];
}

/** Of more ports than these one will do. */
const MAX_PORTS = 64;
/** Stands for the ports of an entry that has none: nothing of the server listens there, and it is not for mail. */
const SOME_PORT = 1;

/** Why an entry of the allow-list can never work, as far as can be known without connecting; `undefined` when it may. */
export function deadEntryReason(entry: AllowEntry, options: DeadEntryOptions): string | undefined {
  return entry.kind === "network" ? reasonOfNetwork(entry, options) : reasonOfHost(entry, options);
}

/** Named by its address everything may be reached but the server itself. */
function reasonOfNetwork({ network, ports }: NetworkEntry, { own, allow }: DeadEntryOptions): string | undefined {
  if (ports === undefined || ports.to - ports.from >= MAX_PORTS) return undefined;
  for (let port = ports.from; port <= ports.to; port++) if (!own.listensOn(port)) return undefined;
  const isSingle = network.prefix === (network.family === 4 ? 32 : 128);
  const address = parseAddress(network.text.replace(/\/.*$/, ""));
  if (address === null || !(isSingle || isLoopback(address.text))) return undefined;
  return forbiddenReason(address, ports.from, { allow, own, byName: false });
}

function reasonOfHost(
  { pattern, ports }: Extract<AllowEntry, { kind: "host" }>,
  { allow, own, addresses = wellKnown(pattern.name) }: DeadEntryOptions,
): string | undefined {
  const all = addresses.map(parseAddress).filter((address): address is Address => address !== null);
  // What is permitted at a port of an entry by address may be permitted at no other.
  const named = allow.entries.flatMap((entry) => entry.kind === "network" && entry.ports ? [entry.ports.from] : []);
  const asked = [SOME_PORT, ...named].filter((port) => ports === undefined || (port >= ports.from && port <= ports.to));
  const tried = ports === undefined ? asked : [ports.from, ports.to, ...asked];
  let reason: string | undefined;
  for (const address of all) {
    for (const port of tried) {
      reason = forbiddenReason(address, port, { allow, own, byName: true });
      if (reason === undefined) return undefined;
    }
  }
  return reason;
}

function wellKnown(name: string): readonly string[] {
  return name === "localhost" || name.endsWith(".localhost") ? ["127.0.0.1", "::1"] : [];
}
