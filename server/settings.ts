import { addressMatcher, isLoopback } from "../net/address.ts";
import { EVERY_ADDRESS } from "../net/listen.ts";
import { type Logger, SILENT } from "../net/log.ts";
import { CodedError } from "../protocol/errors.ts";
import { canonicalHost, isHostName } from "../protocol/host_name.ts";
import { DEFAULT_SERVER_LIMITS, type ServerLimits } from "./limits.ts";
import type { ListenAddress, ServerOptions } from "./options.ts";

const DEFAULTS = {
  http: { hostname: EVERY_ADDRESS, port: 80 },
  tls: { hostname: EVERY_ADDRESS, port: 443 },
  tcp: { bind: EVERY_ADDRESS, from: 22_000, to: 22_999 },
  admin: { hostname: "127.0.0.1", port: 9_400 },
} as const;

/** The options of a server, checked and with their defaults. */
export interface Settings {
  readonly domain: string;
  readonly hostname: string;
  readonly withoutProof: readonly string[];
  readonly http: ListenAddress;
  readonly tls: ListenAddress;
  readonly tcp: { readonly bind: string; readonly from: number; readonly to: number };
  readonly admin: ListenAddress | null;
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
    http: { ...DEFAULTS.http, ...options.http },
    tls: { ...DEFAULTS.tls, ...options.tls },
    tcp: { ...DEFAULTS.tcp, ...options.tcp },
    admin: options.admin === false ? null : { ...DEFAULTS.admin, ...options.admin },
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
