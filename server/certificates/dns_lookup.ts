import type { DnsLookup } from "../../net/acme/dns_propagation.ts";
import type { Resolver } from "../dns.ts";

/** Asks a resolver of the operator's choice where the system's would be asked. */
export function lookupBy(resolver: Resolver): DnsLookup {
  return async (name, type, { nameServer = resolver, signal }) => {
    // With its last dot, so that no search domain of the system is put behind it.
    const records = await Deno.resolveDns(`${name.replace(/\.$/, "")}.`, type as "TXT", { nameServer, signal });
    return records.map((record: string | string[]) => typeof record === "string" ? record : record.join(""));
  };
}
