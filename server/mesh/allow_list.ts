import { type Address, type Network, networkContains, parseAddress, parseNetwork } from "../../net/address.ts";
import { CodedError } from "../../protocol/errors.ts";
import { type HostPattern, parseHostPattern } from "./host_pattern.ts";
import { hasPort, parsePorts, type PortRange } from "./port_range.ts";

/** Destinations outside of the mesh that the operator allows: by address, or by name. */
export type AllowEntry =
  & { readonly text: string; readonly ports: PortRange | undefined }
  & (
    | { readonly kind: "network"; readonly network: Network }
    | { readonly kind: "host"; readonly pattern: HostPattern }
  );

/** An entry by address. */
export type NetworkEntry = Extract<AllowEntry, { kind: "network" }>;

/**
 * Reads one entry, which may have a port or a range of ports behind it:
 *
 * - `10.0.0.0/8`, `192.0.2.7`, `10.1.0.0/16:5432`, `2001:db8::/32`, `[2001:db8::/32]:443`
 * - `db.srv.local`, `db.srv.local:5432`, `*.srv.local`, `*.srv.local:8000-8999`
 *
 * @throws {CodedError} CONFIG_INVALID
 */
export function parseAllowEntry(text: string): AllowEntry {
  const { place, ports: portsText } = splitPorts(text);
  const ports = portsText === undefined ? undefined : parsePorts(portsText);
  if (portsText !== undefined && ports === undefined) {
    throw invalid(text, "behind the colon belongs a port, or a range such as 5000-5999");
  }
  const pattern = parseHostPattern(place);
  if (pattern !== undefined) return { kind: "host", text, ports, pattern };
  try {
    return { kind: "network", text, ports, network: parseNetwork(place) };
  } catch {
    throw invalid(text, "it is neither a CIDR such as 10.0.0.0/8, nor a name such as db.srv.local or *.srv.local");
  }
}

/** What the operator allows; parsed once. */
export class AllowList {
  readonly entries: readonly AllowEntry[];
  readonly #networks: readonly NetworkEntry[];
  /** By their names: `db.srv.local`, and `*.srv.local` for what is below. */
  readonly #hosts = new Map<string, AllowEntry[]>();

  /** @throws {CodedError} CONFIG_INVALID */
  constructor(texts: readonly string[]) {
    this.entries = texts.map(parseAllowEntry);
    this.#networks = this.entries.filter((entry) => entry.kind === "network");
    for (const entry of this.entries) if (entry.kind === "host") this.#add(entry, entry.pattern);
  }

  /** The entry that allows a canonical host, name or address, at a port. */
  find(host: string, port: number): AllowEntry | undefined {
    const address = parseAddress(host);
    if (address !== null) return this.networksOf(address, port)[0];
    return this.#hostEntries(host).find((entry) => allowsPort(entry, port));
  }

  /** The entries by address that allow an address at a port. */
  networksOf(address: Address, port: number): NetworkEntry[] {
    return this.#networks.filter((entry) => allowsPort(entry, port) && networkContains(entry.network, address));
  }

  #add(entry: AllowEntry, pattern: HostPattern): void {
    const key = pattern.below ? `*.${pattern.name}` : pattern.name;
    this.#hosts.set(key, [...this.#hosts.get(key) ?? [], entry]);
  }

  #hostEntries(host: string): AllowEntry[] {
    const found = [...this.#hosts.get(host) ?? []];
    for (let dot = host.indexOf("."); dot >= 0; dot = host.indexOf(".", dot + 1)) {
      found.push(...this.#hosts.get(`*${host.slice(dot)}`) ?? []);
    }
    return found;
  }
}

/** Whether an entry is for a port: without one it is for all. */
function allowsPort({ ports }: Pick<AllowEntry, "ports">, port: number): boolean {
  return ports === undefined || hasPort(ports, port);
}

/** Separates what is behind the last colon; an IPv6 address needs brackets for that. */
function splitPorts(text: string): { place: string; ports: string | undefined } {
  const bracketed = /^\[([^\]]*:[^\]]*)\](\/[0-9]+)?(?::(.*))?$/.exec(text);
  if (bracketed !== null) return { place: `${bracketed[1]}${bracketed[2] ?? ""}`, ports: bracketed[3] };
  const [place = "", ports, ...rest] = text.split(":");
  return rest.length > 0 ? { place: text, ports: undefined } : { place, ports };
}

function invalid(text: string, reason: string): CodedError {
  const shown = text.slice(0, 100).replaceAll(/[^\x20-\x7e]/g, "?");
  return new CodedError("CONFIG_INVALID", `"${shown}" cannot be allowed: ${reason}`);
}
