import { resolve } from "node:path";
import { acmeDirectory } from "../../net/acme/acme_directories.ts";
import { checkHook } from "../../net/acme/run_hook.ts";
import { holdsCertificate } from "../../net/certificate.ts";
import type { CertificatePaths } from "../../server/certificates/certificate_files.ts";
import type { ListenAddress, ServerAcmeOptions, ServerOptions } from "../../server/options.ts";
import { CodedError } from "../../protocol/errors.ts";
import type { HostPort } from "../parse_listen.ts";
import type { LoadedServerConfig } from "./config_path.ts";

/** State beside the configuration file, unless it says otherwise. */
const DEFAULT_STATE = "state";
/** Certificates of the operator's own, when there is such a folder and the configuration names none. */
export const DEFAULT_CERTIFICATES: string = "certs";

/** The folder of the store, the CA and the certificate. */
export function stateFolderOf({ folder, config }: LoadedServerConfig): string {
  return resolve(folder, config.state ?? DEFAULT_STATE);
}

/**
 * A configuration as `serve()` takes it; files that do not change while it runs are read.
 * @throws {CodedError} CERTIFICATE_INVALID, DNS_HOOK_FAILED
 */
export async function toServerOptions(loaded: LoadedServerConfig): Promise<ServerOptions> {
  const { config } = loaded;
  const certificate = pathsOf(loaded);
  const acme = await acmeOf(loaded);
  const certificatesDir = await certificatesFolderOf(loaded);
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
    ...(acme === undefined ? {} : { acme }),
    ...(certificatesDir === undefined ? {} : { certificatesDir }),
    ...(config.proxy_protocol === undefined ? {} : { proxyProtocol: config.proxy_protocol }),
    ...adminOf(config.admin),
    domains: {
      resolvers: config.domains?.resolvers ?? [],
      withoutProof: config.domains?.without_proof ?? [],
    },
    ...(config.mesh === undefined ? {} : { mesh: config.mesh }),
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

/** One that is named must be there, or the server would run without its certificates (security R40). */
async function certificatesFolderOf({ folder, config }: LoadedServerConfig): Promise<string | undefined> {
  if (config.certificates !== undefined) return resolve(folder, config.certificates);
  const usual = resolve(folder, DEFAULT_CERTIFICATES);
  try {
    return (await Deno.stat(usual)).isDirectory ? usual : undefined;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    return usual; // It may be there: the server says why it cannot be used.
  }
}

async function acmeOf({ folder, config }: LoadedServerConfig): Promise<ServerAcmeOptions | undefined> {
  if (config.acme === undefined) return undefined;
  const { directory, email, ca, eab, dns_hook: hook, dns_check: dnsCheck } = config.acme;
  const dnsHook = hook === undefined ? undefined : resolve(folder, hook);
  if (dnsHook !== undefined) await checkHook(dnsHook);
  return {
    directory: acmeDirectory(directory ?? "letsencrypt")!,
    ...(email === undefined ? {} : { email }),
    ...(ca === undefined ? {} : { ca: await readRoot(resolve(folder, ca)) }),
    ...(eab === undefined ? {} : { eab: { keyId: eab.key_id, hmacKey: eab.hmac_key } }),
    ...(dnsHook === undefined ? {} : { dnsHook }),
    ...(dnsCheck === undefined ? {} : { dnsCheck }),
  };
}

function pathsOf({ folder, config }: LoadedServerConfig): CertificatePaths | undefined {
  const { certificate, key } = config.tls ?? {};
  if (certificate === undefined || key === undefined) return undefined;
  return { certificateFile: resolve(folder, certificate), keyFile: resolve(folder, key) };
}

/** Of a private authority; the runtime would trust nobody more by a file without one, and say nothing. */
async function readRoot(path: string): Promise<string> {
  let text: string;
  try {
    text = await Deno.readTextFile(path);
  } catch (cause) {
    throw new CodedError("CERTIFICATE_INVALID", `Cannot read ${path}: ${reasonOf(cause)}`, { cause });
  }
  if (holdsCertificate(text)) return text;
  const what = `Cannot use ${path} as acme.ca: it holds no certificate in PEM`;
  throw new CodedError("CERTIFICATE_INVALID", `${what}; it must be the root certificate of the authority's own HTTPS`);
}

function reasonOf(error: unknown): string {
  if (error instanceof Deno.errors.NotFound) return "it does not exist";
  if (error instanceof Deno.errors.PermissionDenied) return "permission denied";
  return error instanceof Error ? error.message : String(error);
}
