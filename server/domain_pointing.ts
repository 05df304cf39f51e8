import { parseAddress } from "../net/address.ts";
import { CodedError } from "../protocol/errors.ts";
import type { DomainPointing } from "../protocol/request.ts";
import type { Dns } from "./dns.ts";

/** Names that lead to this server. */
export interface PointingTargets {
  /** The tunnel's own name. */
  readonly hostname: string;
  /** The server's name or address. */
  readonly edge: string;
  readonly dns: Dns;
  readonly signal: AbortSignal;
}

/** Where a domain must point: a CNAME to the tunnel's name, except at the top of a zone, where there can be none (RFC 1034 3.6.2). */
export async function pointingOf(
  domain: string,
  { hostname, edge, dns, signal }: PointingTargets,
): Promise<DomainPointing> {
  if ((await parseSuffix(domain)).domain !== domain) return { kind: "cname", hostname };
  const addresses = parseAddress(edge) === null ? await dns.addresses(edge, signal) : [edge];
  return { kind: "addresses", hostname: edge, addresses };
}

/** Throws `NAME_NOT_ALLOWED` for what many people share, such as `co.uk`: whoever proves it would have all below it. */
export async function assertRegistrable(domain: string): Promise<void> {
  const { publicSuffix, isIcann, isPrivate } = await parseSuffix(domain);
  if (publicSuffix === domain && (isIcann === true || isPrivate === true)) {
    throw new CodedError("NAME_NOT_ALLOWED", `"${domain}" is a public suffix: name a domain below it`);
  }
}

/** The host of what clients dial: where visitors come in too. */
export function edgeHost(address: string | undefined, hostname: string): string {
  return address?.replace(/:\d+$/, "").replace(/^\[|\]$/g, "") ?? hostname;
}

/** The list of suffixes takes memory, and few servers ever need it. */
async function parseSuffix(domain: string) {
  const { parse } = await import("tldts");
  return parse(domain, { allowPrivateDomains: true });
}
