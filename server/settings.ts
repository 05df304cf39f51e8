import { addressMatcher, isLoopback } from "../net/address.ts";
import { type Logger, SILENT } from "../net/log.ts";
import { CodedError } from "../protocol/errors.ts";
import { canonicalHost, isHostName } from "../protocol/host_name.ts";
import { type Listeners, listenersOf } from "./default_listeners.ts";
import { DEFAULT_SERVER_LIMITS, type ServerLimits } from "./limits.ts";
import type { ServerOptions } from "./options.ts";

/** The options of a server, checked and with their defaults. */
export interface Settings extends Listeners {
  readonly domain: string;
  readonly hostname: string;
  readonly withoutProof: readonly string[];
  readonly limits: Readonly<ServerLimits>;
  readonly log: Logger;
  /** Whose `X-Forwarded-For` is believed. */
  readonly trustedProxies: (address: string) => boolean;
  /** Who does not count against the limits of one address. */
  readonly isExempt: (address: string) => boolean;
}

/** @throws {CodedError} CONFIG_INVALID, NETWORK_INVALID */
export function resolveSettings(options: ServerOptions): Settings {
  const domain = checkedName(options.domain, "domain");
  const trustedProxies = addressMatcher(options.trustedProxies ?? []);
  return {
    domain,
    hostname: options.hostname === undefined ? domain : checkedName(options.hostname, "hostname"),
    withoutProof: (options.domains?.withoutProof ?? []).map((name) => checkedName(name, "domain without proof")),
    ...listenersOf(options),
    limits: { ...DEFAULT_SERVER_LIMITS, ...options.limits },
    log: options.logger ?? SILENT,
    trustedProxies,
    isExempt: (address) => isLoopback(address) || trustedProxies(address),
  };
}

function checkedName(name: string, what: string): string {
  const canonical = canonicalHost(name);
  if (!isHostName(canonical)) {
    throw new CodedError("CONFIG_INVALID", `Cannot use "${name}" as ${what}: it is not a host name`);
  }
  return canonical;
}
