import { resolve } from "node:path";
import { parseTarget } from "../../client/target.ts";
import { usageError } from "../command_error.ts";
import { formatHostPort, parseHostPort } from "../parse_listen.ts";
import { checkCertificateFiles } from "./check_certificate_files.ts";
import { isEmail } from "./config.ts";
import { parseTlsTarget, type TlsEntry } from "./tls_schema.ts";

const LOOPBACK = "127.0.0.1";

/** Flags of `route http add` that say where TLS ends. */
export interface TlsOptions {
  /** Port or host:port that gets the bytes as they come. */
  tls?: string;
  letsencrypt?: boolean;
  /** PEM files: the certificate with its chain, and its key. */
  ca?: string;
  key?: string;
  tlsAt?: "server";
  email?: string;
}

/** What a flag of {@link TlsOptions} is seen together with. */
export interface TlsPlace {
  domain: string;
  /** Where plain HTTP leads; the host for `--tls PORT`. */
  target: string | undefined;
  destination: string | undefined;
}

/**
 * Where TLS ends as the flags say it, ready for the configuration: files are checked, and absolute as `start` may run elsewhere.
 * @throws {CodedError} USAGE, TARGET_INVALID, and for files CERTIFICATE_INVALID, CERTIFICATE_EXPIRED, CERTIFICATE_NAME_MISMATCH
 */
export async function tlsFromOptions(options: TlsOptions, place: TlsPlace): Promise<TlsEntry | undefined> {
  assertOneEnd(options);
  const { tls, letsencrypt, ca, key, tlsAt, email } = options;
  if (email !== undefined && letsencrypt !== true) {
    throw usageError("--email is for --letsencrypt", { fix: "Leave it away, or add --letsencrypt." });
  }
  if (email !== undefined && !isEmail(email)) throw usageError(`"${email}" is not an e-mail address`, { fix: "" });
  if (tls !== undefined) return { target: tlsTarget(tls, place) };
  if (letsencrypt === true) return "letsencrypt";
  if (tlsAt !== undefined) return tlsAt;
  if (ca === undefined || key === undefined) return undefined;
  const files = { certificate: resolve(ca), key: resolve(key) };
  await checkCertificateFiles(files, place.domain);
  return files;
}

function assertOneEnd({ tls, letsencrypt, ca, key, tlsAt }: TlsOptions): void {
  const given = Object.entries({
    "--tls": tls !== undefined,
    "--letsencrypt": letsencrypt === true,
    "--ca": ca !== undefined || key !== undefined,
    "--tls-at": tlsAt !== undefined,
  }).filter(([, is]) => is).map(([flag]) => flag === "--ca" && ca === undefined ? "--key" : flag);
  if (given.length > 1) {
    throw usageError(`${given.join(" and ")} cannot be used together`, {
      fix: "TLS of a domain ends in one place; give one of them.",
    });
  }
  if ((ca === undefined) === (key === undefined)) return;
  const [one, other] = ca === undefined ? ["--key", "--ca"] : ["--ca", "--key"];
  throw usageError(`${one} needs ${other}`, {
    fix: "Give the certificate chain with --ca and its key with --key, PEM.",
  });
}

/** A port alone is one of the host that plain HTTP leads to. */
function tlsTarget(text: string, place: TlsPlace): string {
  if (/^[0-9]+$/.test(text)) return formatHostPort({ hostname: hostOf(place), port: parseTlsTarget(text).port });
  try {
    return formatHostPort(asHostPort(parseTlsTarget(text)));
  } catch (cause) {
    if (!(cause instanceof RangeError)) throw cause;
    throw usageError(`"${text}" cannot be used with --tls`, { cause, fix: "Write a port, or host:port." });
  }
}

function asHostPort({ host, port }: { host: string; port: number }): { hostname: string; port: number } {
  return { hostname: host, port };
}

function hostOf({ target, destination }: TlsPlace): string {
  if (target !== undefined) {
    const parsed = parseTarget(target);
    return parsed.kind === "tcp" || parsed.kind === "https" ? parsed.host : LOOPBACK;
  }
  if (destination === undefined) return LOOPBACK;
  return parseHostPort(destination)?.hostname ?? destination.replace(/^\[(.*)\]$/, "$1");
}
