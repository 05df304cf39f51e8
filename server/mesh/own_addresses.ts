import { type Address, isLoopback, parseAddress } from "../../net/address.ts";
import { edgeHost } from "../domain_pointing.ts";
import { hasPort, type PortRange } from "./port_range.ts";

/** Where this server itself is. */
export interface OwnAddressesOptions {
  /** Names of the server; they are looked up now and then, as its public address may be on no interface of this machine. */
  readonly names: readonly string[];
  /** Addresses that the configuration names. */
  readonly addresses?: readonly string[];
  /** The ports of its listeners, those that visitors type included. */
  readonly ports: () => readonly PortRange[];
  /** Looks a name up; never rejects. */
  readonly lookUp: (name: string, signal: AbortSignal) => Promise<readonly string[]>;
  /** The addresses of this machine. @default those of its interfaces */
  readonly interfaces?: () => readonly string[];
}

/** How the configuration names the server: by its names, and by the host that clients dial, which is a name or an address. */
export function ownPlaces(
  names: readonly string[],
  address: string | undefined,
): Required<Pick<OwnAddressesOptions, "names" | "addresses">> {
  const host = edgeHost(address, names[0] ?? "");
  const isAddress = parseAddress(host) !== null;
  return { names: isAddress ? names : [...new Set([...names, host])], addresses: isAddress ? [host] : [] };
}

/** Public addresses of a server change seldom. */
const LOOK_UP_MS = 600_000;
/** While nothing is known of them, what leads to the server could be taken for another host. */
const LOOK_AGAIN_MS = 10_000;

/** What is this server itself: never a legal destination (security R19). */
export class OwnAddresses implements AsyncDisposable {
  readonly #options: OwnAddressesOptions;
  readonly #configured: ReadonlySet<string>;
  readonly #interfaces: () => readonly string[];
  readonly #ending = new AbortController();
  #named: ReadonlySet<string> = new Set();
  #lookedUpAt = -Infinity;
  #lookingUp: Promise<void> = Promise.resolve();

  constructor(options: OwnAddressesOptions) {
    this.#options = options;
    this.#configured = canonicalSet(options.addresses ?? []);
    this.#interfaces = options.interfaces ?? machineAddresses;
  }

  /** Whether an address leads to this machine, as far as is known. */
  has(address: Address): boolean {
    if (leadsToItself(address) || this.#configured.has(address.text) || this.#named.has(address.text)) return true;
    return canonicalSet(this.#interfaces()).has(address.text);
  }

  /** Whether a listener of the server has the port. */
  listensOn(port: number): boolean {
    return this.#options.ports().some((range) => hasPort(range, port));
  }

  /** Looks the names up again when that was long ago; settles when they are known, and never rejects. */
  refresh(now: number = performance.now()): Promise<void> {
    if (now - this.#lookedUpAt >= LOOK_UP_MS && !this.#ending.signal.aborted) {
      this.#lookedUpAt = now;
      this.#lookingUp = this.#lookUp();
    }
    return this.#lookingUp;
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.#ending.abort();
    return this.#lookingUp;
  }

  async #lookUp(): Promise<void> {
    const { names, lookUp } = this.#options;
    const found = await Promise.all(names.map((name) => lookUp(name, this.#ending.signal)));
    // While nobody answers, what was known counts.
    if (found.flat().length > 0) this.#named = canonicalSet(found.flat());
    if (this.#named.size === 0) this.#lookedUpAt -= LOOK_UP_MS - LOOK_AGAIN_MS;
  }
}

/** Loopback, and the unspecified address, which the kernel takes for it. */
function leadsToItself({ family, value, text }: Address): boolean {
  return isLoopback(text) || (family === 4 ? value >> 24n === 0n : value === 0n);
}

function canonicalSet(addresses: readonly string[]): Set<string> {
  // Without the zone of a link-local address.
  return new Set(addresses.map((text) => parseAddress(text.replace(/%.*$/, ""))?.text ?? text));
}

function machineAddresses(): string[] {
  return Deno.networkInterfaces().map(({ address }) => address);
}
