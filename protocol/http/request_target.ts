import { CodedError } from "../errors.ts";
import { canonicalHost } from "../host_name.ts";

/** What a request asks for, after its target and its Host were found to agree. */
export interface ResolvedTarget {
  readonly target: string;
  readonly host: string | undefined;
}

const ABSOLUTE = /^(https?):\/\/([^/?]*)(.*)$/i;
const AUTHORITY = /^[^/?@]+:[0-9]{1,5}$/;
const DEFAULT_PORTS: ReadonlyMap<string, string> = new Map([["http", "80"], ["https", "443"]]);

/**
 * Brings the four forms of a target (RFC 9112 3.2) to one, and checks them against Host.
 * @throws {CodedError} `BAD_REQUEST`.
 */
export function resolveTarget(method: string, target: string, hostHeader: string | undefined): ResolvedTarget {
  const host = hostHeader === undefined ? undefined : canonicalHost(hostHeader);
  if (method === "CONNECT") return resolveAuthority(target, host);
  if (target.startsWith("/")) return { target, host };
  if (target === "*") {
    if (method !== "OPTIONS") throw new CodedError("BAD_REQUEST", `The target "*" belongs to OPTIONS only`);
    return { target, host };
  }
  return resolveAbsolute(method, target, hostHeader);
}

function resolveAuthority(target: string, host: string | undefined): ResolvedTarget {
  if (!AUTHORITY.test(target)) throw new CodedError("BAD_REQUEST", "The target of CONNECT is not host:port");
  const authority = canonicalHost(target);
  if (host !== undefined && host !== authority) throw differs();
  return { target, host: authority };
}

function resolveAbsolute(method: string, target: string, hostHeader: string | undefined): ResolvedTarget {
  const parts = ABSOLUTE.exec(target);
  if (parts === null) throw new CodedError("BAD_REQUEST", "The request target has none of the four forms");
  const [, scheme = "", authority = "", rest = ""] = parts;
  if (authority.includes("@")) throw new CodedError("BAD_REQUEST", "The request target names a user");
  const host = canonicalHost(authority);
  const port = DEFAULT_PORTS.get(scheme.toLowerCase()) ?? "";
  if (hostHeader !== undefined) {
    if (canonicalHost(hostHeader) !== host || portOf(hostHeader, port) !== portOf(authority, port)) throw differs();
  }
  if (rest === "" && method === "OPTIONS") return { target: "*", host };
  return { target: rest.startsWith("/") ? rest : `/${rest}`, host };
}

function portOf(authority: string, otherwise: string): string {
  return /:([0-9]+)$/.exec(authority)?.[1] ?? otherwise;
}

function differs(): CodedError {
  return new CodedError("BAD_REQUEST", "The request target and Host name different hosts");
}
