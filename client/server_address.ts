import { CodedError } from "../protocol/errors.ts";
import { INTERNAL_SNI } from "../protocol/limits.ts";
import type { ServerAddress } from "./options.ts";

const DEFAULT_PORT = 443;

/** Where to dial, and which name to ask for in TLS. */
export interface ResolvedServerAddress {
  hostname: string;
  port: number;
  sni: string;
  ca: string | undefined;
}

/** Reads `host`, `host:port` or `[v6]:port`. @throws {CodedError} CONFIG_INVALID */
export function resolveServerAddress({ server, sni, ca }: ServerAddress): ResolvedServerAddress {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([^\s:/[\]]+))(?::(\d{1,5}))?$/.exec(server.trim());
  const port = match?.[3] === undefined ? DEFAULT_PORT : Number(match[3]);
  const hostname = match?.[1] ?? match?.[2];
  if (hostname === undefined || port < 1 || port > 65_535) {
    throw new CodedError("CONFIG_INVALID", `Cannot read the server address "${server}": write host:port`);
  }
  const isAddress = match?.[1] !== undefined || /^\d+(\.\d+){3}$/.test(hostname);
  return { hostname, port, sni: sni ?? (isAddress ? INTERNAL_SNI : hostname), ca };
}
