import { resolve } from "node:path";
import type { ListenAddress, ServerOptions } from "../../server/options.ts";
import { CodedError } from "../../protocol/errors.ts";
import type { HostPort } from "../parse_listen.ts";
import type { LoadedServerConfig } from "./config_path.ts";

/** State beside the configuration file, unless it says otherwise. */
const DEFAULT_STATE = "state";

/** The folder of the store, the CA and the certificate. */
export function stateFolderOf({ folder, config }: LoadedServerConfig): string {
  return resolve(folder, config.state ?? DEFAULT_STATE);
}

/** A configuration as `serve()` takes it; certificate and key are read. @throws {CodedError} CERTIFICATE_INVALID */
export async function toServerOptions(loaded: LoadedServerConfig): Promise<ServerOptions> {
  const { config } = loaded;
  const certificate = await readPair(loaded);
  return {
    domain: config.domain,
    ...(config.hostname === undefined ? {} : { hostname: config.hostname }),
    ...(config.address === undefined ? {} : { address: config.address }),
    stateDir: stateFolderOf(loaded),
    http: { ...listenOf(config.http?.listen), ...publicPortOf(config.http?.public_port) },
    tls: {
      ...listenOf(config.tls?.listen),
      ...publicPortOf(config.tls?.public_port),
      ...(certificate === undefined ? {} : { certificate }),
    },
    tcp: { ...(config.tcp?.bind === undefined ? {} : { bind: config.tcp.bind }), ...config.tcp?.ports },
    ...adminOf(config.admin),
    trustedProxies: config.trusted_proxies ?? [],
    ...(config.drain === undefined ? {} : { drainMs: config.drain }),
    limits: config.limits ?? {},
  };
}

function listenOf(place: HostPort | undefined): Partial<ListenAddress> {
  if (place === undefined) return {};
  // `:80` is every address.
  return { port: place.port, ...(place.hostname === "" ? {} : { hostname: place.hostname }) };
}

function publicPortOf(publicPort: number | undefined): { publicPort?: number } {
  return publicPort === undefined ? {} : { publicPort };
}

function adminOf(admin: LoadedServerConfig["config"]["admin"]): Pick<ServerOptions, "admin"> {
  if (admin === undefined) return {};
  return { admin: typeof admin === "object" ? listenOf(admin.listen) : false };
}

async function readPair(
  { folder, config }: LoadedServerConfig,
): Promise<{ certificate: string; key: string } | undefined> {
  const { certificate, key } = config.tls ?? {};
  if (certificate === undefined || key === undefined) return undefined;
  return { certificate: await readPem(resolve(folder, certificate)), key: await readPem(resolve(folder, key)) };
}

async function readPem(path: string): Promise<string> {
  try {
    return await Deno.readTextFile(path);
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new CodedError("CERTIFICATE_INVALID", `Cannot read ${path}: ${reason}`, { cause });
  }
}
