import { setTimeout as wait } from "node:timers/promises";
import { AcmeError } from "./acme_error.ts";

/** A DNS server. */
export interface NameServer {
  readonly ipAddr: string;
  readonly port: number;
}

/** Asks for records of a type at a server, or at the system's resolver; throws `Deno.errors.NotFound` when there are none. */
export interface DnsLookup {
  (
    name: string,
    type: "TXT" | "NS" | "A" | "AAAA" | "CNAME",
    options: { nameServer?: NameServer; signal: AbortSignal },
  ): Promise<string[]>;
}

export interface PropagationOptions {
  /** Who must have the record. @default the name servers of its zone */
  readonly nameServers?: readonly NameServer[];
  /** @default 120_000 */
  readonly timeoutMs?: number;
  /** Between looks. @default 2_000 */
  readonly intervalMs?: number;
  /** @default Deno.resolveDns */
  readonly lookup?: DnsLookup;
}

/** Most providers are done within a minute. */
const TIMEOUT_MS = 120_000;
const INTERVAL_MS = 2_000;
/** A name server that does not answer so long is not one that the CA waits for. */
const ANSWER_MS = 5_000;
/** Zones have two to eight name servers, with two addresses each. */
const MAX_SERVERS = 16;
const DNS_PORT = 53;
const MAX_ALIASES = 8;

/**
 * Waits until all name servers of the record's zone that answer have the TXT value: a CA asks any of them, and what it did not find
 * counts as a failure of ours. When none of them can be reached from here the system's resolver is asked.
 * @throws {AcmeError} DNS_HOOK_FAILED when the time is over
 */
export async function waitForTxt(
  record: string,
  value: string,
  { signal, ...options }: PropagationOptions & { signal: AbortSignal },
): Promise<void> {
  const { timeoutMs = TIMEOUT_MS, intervalMs = INTERVAL_MS, lookup = resolveDns } = options;
  const end = performance.now() + timeoutMs;
  const servers = options.nameServers ?? await authoritativeServers(record, lookup, signal);
  while (!(await isEverywhere({ record, value, servers, lookup, signal }))) {
    signal.throwIfAborted();
    if (performance.now() >= end) throw notSeen(record, servers, timeoutMs);
    await wait(intervalMs, undefined, { signal });
  }
}

/** The name servers of the zone that the record is in, behind aliases: acme-dns and others rely on those. */
export async function authoritativeServers(
  record: string,
  lookup: DnsLookup,
  signal: AbortSignal,
): Promise<readonly NameServer[]> {
  for (let zone = await withoutAliases(record, lookup, signal); zone.includes("."); zone = parentOf(zone)) {
    const names = await recordsOr([], () => lookup(zone, "NS", { signal }));
    if (names.length === 0) continue;
    const addresses = await Promise.all(
      names.flatMap((name) =>
        (["A", "AAAA"] as const).map((type) => recordsOr([], () => lookup(name, type, { signal })))
      ),
    );
    return addresses.flat().slice(0, MAX_SERVERS).map((ipAddr) => ({ ipAddr, port: DNS_PORT }));
  }
  return [];
}

async function withoutAliases(record: string, lookup: DnsLookup, signal: AbortSignal): Promise<string> {
  let name = record;
  for (let count = 0; count < MAX_ALIASES; count++) {
    const [alias] = await recordsOr([], () => lookup(name, "CNAME", { signal }));
    if (alias === undefined) return name;
    name = alias.replace(/\.$/, "");
  }
  return name;
}

function parentOf(name: string): string {
  return name.slice(name.indexOf(".") + 1);
}

interface Question {
  readonly record: string;
  readonly value: string;
  readonly servers: readonly NameServer[];
  readonly lookup: DnsLookup;
  readonly signal: AbortSignal;
}

async function isEverywhere(question: Question): Promise<boolean> {
  const answers = await Promise.all(question.servers.map((nameServer) => has(question, { nameServer })));
  const known = answers.filter((answer) => answer !== undefined);
  if (known.length > 0) return known.every(Boolean);
  return await has(question, {}) === true;
}

/** Whether a server gives the value; `undefined` when it does not answer. */
async function has(
  { record, value, lookup, signal }: Question,
  server: { nameServer?: NameServer },
): Promise<boolean | undefined> {
  try {
    const limited = AbortSignal.any([signal, AbortSignal.timeout(ANSWER_MS)]);
    return (await lookup(record, "TXT", { ...server, signal: limited })).includes(value);
  } catch (error) {
    signal.throwIfAborted();
    return error instanceof Deno.errors.NotFound ? false : undefined;
  }
}

/** What a lookup gives, or `otherwise` when it fails for whatever reason: it only helps to know whom to ask. */
async function recordsOr(otherwise: readonly string[], ask: () => Promise<string[]>): Promise<readonly string[]> {
  try {
    return await ask();
  } catch {
    return otherwise; // Nothing there, or nobody answers; an aborted wait is noticed by its owner.
  }
}

async function resolveDns(...[name, type, options]: Parameters<DnsLookup>): Promise<string[]> {
  // With a final dot, so that no search domain of this machine is tried.
  const answer = await Deno.resolveDns(`${name.replace(/\.$/, "")}.`, type as "TXT", options);
  return answer.map((text: string | string[]) => typeof text === "string" ? text : text.join(""));
}

function notSeen(record: string, servers: readonly NameServer[], timeoutMs: number): AcmeError {
  const asked = servers.map(({ ipAddr }) => ipAddr).join(", ") || "the system's resolver";
  const what = `the hook ended well, but the TXT record ${record} was not seen within ${
    timeoutMs / 1000
  } s (asked: ${asked})`;
  return new AcmeError(
    "DNS_HOOK_FAILED",
    `${what}; check that the hook writes into the zone that is delegated, or that these are the servers to ask (acme.dns_check)`,
  );
}
