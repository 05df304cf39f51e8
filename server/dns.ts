import { parseAddress } from "../net/address.ts";
import { Deadline } from "../net/deadline.ts";
import { CodedError } from "../protocol/errors.ts";

/** What one resolver said of a name: its TXT records, or why it said nothing. */
export type TxtAnswer =
  | { readonly resolver: string; readonly records: readonly string[] }
  | { readonly resolver: string; readonly failure: string };

/** Asks the DNS; both never reject, and end when `signal` aborts. */
export interface Dns {
  /** The TXT records of a name, as each resolver knows them; the strings of one record are joined (RFC 7208 3.3). */
  txt(name: string, signal: AbortSignal): Promise<TxtAnswer[]>;
  /** The addresses of a name, IPv4 first; none when it has none, or nobody knows. */
  addresses(name: string, signal: AbortSignal): Promise<string[]>;
}

/** Where a resolver is. */
export interface Resolver {
  readonly ipAddr: string;
  readonly port: number;
}

/** `Deno.resolveDns`, or what stands for it in a test. */
export type DnsQuery = (
  name: string,
  type: "TXT" | "A" | "AAAA",
  options: { nameServer?: Resolver; signal: AbortSignal },
) => Promise<readonly (string | readonly string[])[]>;

export interface DnsOptions {
  /** `address` or `address:port`; all are asked. @default what the system uses */
  readonly resolvers?: readonly string[];
  readonly query?: DnsQuery;
}

/** Most people wait for it: a resolver that follows a chain of servers needs one or two. */
const ANSWER_TIMEOUT_MS = 5_000;
const DNS_PORT = 53;
/** Records of one name that are looked at: real ones have a handful, and who answers may not fill our memory. */
const MAX_RECORDS = 100;
const SYSTEM = "the system's resolver";

/** The DNS as the resolvers see it. @throws {CodedError} CONFIG_INVALID when one is not an address with or without port */
export function createDns({ resolvers = [], query = resolveDns }: DnsOptions = {}): Dns {
  const asked: { text: string; nameServer?: Resolver }[] = resolvers.length === 0
    ? [{ text: SYSTEM }]
    : resolvers.map((text) => ({ text, nameServer: parseResolver(text) }));

  function ask(
    name: string,
    type: "TXT" | "A" | "AAAA",
    { nameServer, signal }: { nameServer: Resolver | undefined; signal: AbortSignal },
  ): Promise<string[]> {
    return withDeadline(signal, async (limited) => {
      // With its last dot, so that no search domain of the system is put behind it.
      const records = await query(`${name}.`, type, {
        ...(nameServer === undefined ? {} : { nameServer }),
        signal: limited,
      });
      return records.slice(0, MAX_RECORDS).map((record) => typeof record === "string" ? record : record.join(""));
    });
  }

  return {
    txt: (name, signal) =>
      Promise.all(asked.map(async ({ text: resolver, nameServer }): Promise<TxtAnswer> => {
        try {
          return { resolver, records: await ask(name, "TXT", { nameServer, signal }) };
        } catch (error) {
          // Also what says that the name server of the domain failed: the platform does not tell these apart.
          if (error instanceof Deno.errors.NotFound) return { resolver, records: [] };
          return { resolver, failure: describe(error) };
        }
      })),
    async addresses(name, signal) {
      const nameServer = asked[0]?.nameServer;
      const found = await Promise.allSettled(
        (["A", "AAAA"] as const).map((type) => ask(name, type, { nameServer, signal })),
      );
      return found.flatMap((each) => each.status === "fulfilled" ? each.value : []);
    },
  };
}

/** Reads `1.1.1.1`, `127.0.0.1:5353`, `2606:4700::1111` or `[::1]:5353`. @throws {CodedError} CONFIG_INVALID */
export function parseResolver(text: string): Resolver {
  const [, inBrackets, plain, digits] = /^(?:\[([0-9a-fA-F:.]+)\]|([0-9.]+))(?::([0-9]{1,5}))?$/.exec(text) ?? [];
  const address = parseAddress(inBrackets ?? plain ?? text);
  const port = digits === undefined ? DNS_PORT : Number(digits);
  if (address === null || port < 1 || port > 65_535) {
    throw new CodedError("CONFIG_INVALID", `"${text}" is not the address of a resolver, such as 1.1.1.1 or [::1]:5353`);
  }
  return { ipAddr: address.text, port };
}

function resolveDns(...[name, type, options]: Parameters<DnsQuery>): ReturnType<DnsQuery> {
  return Deno.resolveDns(name, type as "TXT", options);
}

async function withDeadline<T>(signal: AbortSignal, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const late = new AbortController();
  using _deadline = new Deadline(ANSWER_TIMEOUT_MS, () => late.abort(new Deno.errors.TimedOut()));
  return await work(AbortSignal.any([signal, late.signal]));
}

function describe(error: unknown): string {
  if (error instanceof Deno.errors.TimedOut) return "it did not answer";
  return error instanceof Error ? error.message.slice(0, 200) : "it cannot be asked";
}
