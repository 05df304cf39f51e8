import { CodedError } from "../../protocol/errors.ts";
import { isHostName } from "../../protocol/host_name.ts";

/** Ports `from` to `to`, both included. */
export interface PortRange {
  readonly from: number;
  readonly to: number;
}

/** What a tunnel may take, decided on its enrolment token and inherited when the tunnel is made. */
export interface Grants {
  /** Domains outside the server's own that it may use: `shop.example.org`, or `*.example.org` for all names below. */
  readonly domains: readonly string[];
  /** Ports it may allocate; empty means the whole range of the server. */
  readonly ports: readonly PortRange[];
  /** Names it may own beside its assigned hostname. */
  readonly maxNames: number;
  /** Ports it may own. */
  readonly maxPorts: number;
}

/**
 * Quotas unless the operator says otherwise. Names: any number of sub-domains of an owned name is free, so 25 names of one's
 * own are generous, and one stolen token cannot empty the name space. Ports: 10 of the default 1,000 serve 100 tunnels at
 * their full quota.
 */
export const DEFAULT_GRANTS: Grants = { domains: [], ports: [], maxNames: 25, maxPorts: 10 };

/** Longest lists on a token: beyond it they are data, not policy. */
const MAX_GRANT_ENTRIES = 100;

/** Whether `pattern` (exact, or `*.` and a name for everything below that name) covers `name`. */
export function matchesDomain(pattern: string, name: string): boolean {
  return pattern.startsWith("*.") ? name.endsWith(pattern.slice(1)) && name !== pattern.slice(2) : name === pattern;
}

/** Fills in the defaults; throws `USAGE` for a malformed pattern, range or quota. */
export function resolveGrants(grants: Partial<Grants>): Grants {
  const resolved: Grants = { ...DEFAULT_GRANTS, ...grants };
  for (const list of [resolved.domains, resolved.ports]) {
    if (list.length > MAX_GRANT_ENTRIES) {
      throw new CodedError("USAGE", `At most ${MAX_GRANT_ENTRIES} entries are allowed`);
    }
  }
  for (const pattern of resolved.domains) checkPattern(pattern);
  for (const range of resolved.ports) checkRange(range);
  for (const quota of [resolved.maxNames, resolved.maxPorts]) {
    if (!Number.isSafeInteger(quota) || quota < 0) {
      throw new CodedError("USAGE", `"${quota}" is not a quota: give a whole number, 0 or more`);
    }
  }
  return resolved;
}

/** Throws `USAGE` unless the range lies within 1-65535 and is not backwards. */
function checkRange(range: PortRange): void {
  const valid = Number.isInteger(range.from) && Number.isInteger(range.to) && range.from >= 1 && range.to <= 65_535 &&
    range.from <= range.to;
  if (!valid) throw new CodedError("USAGE", `"${range.from}-${range.to}" is not a port range within 1-65535`);
}

function checkPattern(pattern: string): void {
  const name = pattern.startsWith("*.") ? pattern.slice(2) : pattern;
  if (!isHostName(name) || !name.includes(".")) {
    throw new CodedError("USAGE", `"${pattern}" is not a domain: write for example shop.example.org or *.example.org`);
  }
}
