import { deadEntryReason } from "../../server/mesh/dead_entry.ts";
import { type AllowEntry, AllowList } from "../../server/mesh/allow_list.ts";
import { createLookUp, type LookUp } from "../../server/mesh/look_up.ts";
import type { ServerConfig } from "./config.ts";
import { ownAddressesOf } from "./own_addresses_of.ts";

/** An entry of the allow-list that leads nowhere, with the reason. */
export interface DeadEntry {
  entry: string;
  reason: string;
}

/** Entries of the allow-list that can never work; names are looked up as the server would. Never rejects. */
export async function findDeadEntries(config: ServerConfig): Promise<readonly DeadEntry[]> {
  const { mesh } = config;
  if (mesh === false || mesh?.allow === undefined) return [];
  const allow = new AllowList(mesh.allow);
  const lookUp = createLookUp(mesh.resolvers ?? []);
  await using own = ownAddressesOf(config);
  const [addresses] = await Promise.all([
    Promise.all(allow.entries.map((entry) => addressesOf(entry, lookUp))),
    own.refresh(),
  ]);
  return allow.entries.flatMap((entry, index) => {
    const known = addresses[index];
    const reason = deadEntryReason(entry, { allow, own, ...(known === undefined ? {} : { addresses: known }) });
    return reason === undefined ? [] : [{ entry: entry.text, reason }];
  });
}

/** What a name stands for now; a name that nobody knows at this moment may be known later. */
async function addressesOf(entry: AllowEntry, lookUp: LookUp): Promise<readonly string[] | undefined> {
  if (entry.kind === "network" || entry.pattern.below) return undefined;
  try {
    const found = await lookUp(entry.pattern.name, new AbortController().signal);
    return found.length === 0 ? undefined : found;
  } catch {
    return undefined; // No resolver answers.
  }
}

/** The lines of `check` about them. */
export function renderDeadEntries(entries: readonly DeadEntry[]): string[] {
  return entries.map(({ entry, reason }) => `  warning: mesh.allow: "${entry}" never leads anywhere: ${reason}`);
}
