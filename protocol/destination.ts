import { z } from "zod";
import { CodedError } from "./errors.ts";
import { canonicalHost, isHostName } from "./host_name.ts";

/** Where a program wants to go through the mesh: a service, a tunnel, or a host that the server allows. */
export interface Destination {
  readonly transport: "tcp";
  /** A canonical host name, a service name, or a canonical address: IPv4 in four decimal parts, IPv6 without brackets. */
  readonly host: string;
  readonly port: number;
}

const MAX_PORT = 65_535;

/** A destination as it crosses the wire; whoever resolves it checks the host again. */
export const destinationSchema: z.ZodType<Destination, Destination> = z.object({
  transport: z.literal("tcp"),
  host: z.string().min(1).max(253),
  port: z.int().min(1).max(MAX_PORT),
});

/**
 * Brings host and port to the one form that allow-list, policy and resolver compare. Spellings of an address that only some
 * resolvers understand (`127.1`, `0x7f000001`, `2130706433`, `010.0.0.1`) are refused.
 * @throws {CodedError} DESTINATION_INVALID
 */
export function toDestination(host: string, port: number): Destination {
  if (!Number.isInteger(port) || port < 1 || port > MAX_PORT) {
    throw invalid(`${host}:${port}`, "the port is not 1 to 65535");
  }
  return { transport: "tcp", host: canonicalDestinationHost(host), port };
}

/** Reads `host:port`, `[v6]:port`. @throws {CodedError} DESTINATION_INVALID */
export function parseDestination(text: string): Destination {
  const match = /^(\[[^\]]*\]|[^:[\]]+):([0-9]{1,5})$/.exec(text);
  if (match === null) {
    throw invalid(text, /:[0-9]{1,5}$/.test(text) ? "its host has a colon" : "it does not end in a port");
  }
  return toDestination(match[1] as string, Number(match[2]));
}

/** A destination as text, `host:port` or `[v6]:port`. */
export function formatDestination({ host, port }: Pick<Destination, "host" | "port">): string {
  return host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
}

/** Whether the text may name a service of a rule: one label, so that it never looks like a domain or an address. */
export function isServiceName(name: string): boolean {
  return !name.includes(".") && isHostName(name);
}

function canonicalDestinationHost(host: string): string {
  const bare = host.replace(/^\[|\]$/g, "");
  try {
    const canonical = canonicalHost(bare.includes(":") ? `[${bare}]` : bare);
    return canonical.replace(/^\[|\]$/g, "");
  } catch {
    throw invalid(host, "it is neither a host name nor an address");
  }
}

function invalid(text: string, reason: string): CodedError {
  const shown = text.slice(0, 100).replaceAll(/[^\x20-\x7e]/g, "?");
  return new CodedError("DESTINATION_INVALID", `Cannot use "${shown}" as a destination: ${reason}`);
}
