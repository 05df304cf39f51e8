import { parseAddress } from "../../net/address.ts";
import type { Duplex } from "../../net/duplex.ts";
import { type Destination, formatDestination } from "../../protocol/destination.ts";
import { CodedError } from "../../protocol/errors.ts";
import { isHostName } from "../../protocol/host_name.ts";
import { dialAddress } from "./dial_address.ts";
import { isTooMany, type LookUp } from "./look_up.ts";

/** A connection to a host outside, and the address that was dialled. */
export interface ExternalConnection {
  readonly duplex: Duplex;
  readonly address: string;
}

/** How a host outside is reached. */
export interface EgressOptions {
  readonly lookUp: LookUp;
  /** Throws the reason why an address must not be dialled. */
  readonly judge: (address: string) => void;
  readonly signal: AbortSignal;
}

/** All tries to connect together. */
const DIAL_TIMEOUT_MS = 10_000;

/**
 * Connects to a host that the allow-list has. Its name is looked up once, every answer is judged, and what was judged is what is dialled: a
 * name that answers otherwise the next time changes nothing.
 * @throws {CodedError} TARGET_DNS, TARGET_REFUSED, TARGET_TIMEOUT, TARGET_UNREACHABLE, and whatever `judge` throws
 */
export async function openExternal(destination: Destination, options: EgressOptions): Promise<ExternalConnection> {
  const addresses = await addressesOf(destination, options);
  // One that must not be dialled spoils them all: who controls the name chose it.
  for (const address of addresses) options.judge(address);
  return await dialOneOf(addresses, destination, options);
}

async function addressesOf({ host }: Destination, { lookUp, signal }: EgressOptions): Promise<string[]> {
  const literal = parseAddress(host);
  if (literal !== null) return [literal.text];
  if (!isHostName(host)) {
    throw new CodedError("DESTINATION_INVALID", "The destination is neither a name nor an address");
  }
  const answers = await ask(host, lookUp, signal);
  if (answers.length === 0) throw new CodedError("TARGET_DNS", `The name "${host}" has no address`);
  if (isTooMany(answers)) throw new CodedError("TARGET_DNS", `The name "${host}" has ${answers.length} addresses`);
  return answers.map((text) => {
    const address = parseAddress(text);
    if (address === null) throw new CodedError("TARGET_DNS", `The name "${host}" has an address that cannot be used`);
    return address.text;
  });
}

async function ask(host: string, lookUp: LookUp, signal: AbortSignal): Promise<readonly string[]> {
  try {
    return await lookUp(host, signal);
  } catch (cause) {
    signal.throwIfAborted();
    const reason = cause instanceof Error ? cause.message.slice(0, 200) : "it cannot be asked";
    throw new CodedError("TARGET_DNS", `The name "${host}" cannot be resolved: ${reason}`, { cause });
  }
}

/** One after the other, each with its share of the time, so that one that is silent does not keep the others from their turn. */
async function dialOneOf(
  addresses: readonly string[],
  destination: Destination,
  { signal }: EgressOptions,
): Promise<ExternalConnection> {
  const end = performance.now() + DIAL_TIMEOUT_MS;
  // Whoever asked for a name is told nothing of what it stands for.
  const what = formatDestination(destination);
  let failure = new CodedError("TARGET_TIMEOUT", `${what} did not answer in time`);
  for (const [tried, address] of addresses.entries()) {
    const timeoutMs = (end - performance.now()) / (addresses.length - tried);
    if (timeoutMs <= 0) break;
    try {
      return { address, duplex: await dialAddress({ address, port: destination.port }, { what, timeoutMs, signal }) };
    } catch (error) {
      if (!(error instanceof CodedError) || signal.aborted) throw error;
      failure = error;
    }
  }
  throw failure;
}
