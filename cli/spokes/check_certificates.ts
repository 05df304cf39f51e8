import { type CertificatePair, coverageFault, isCurrent, isExpired, validityFault } from "../../net/certificate.ts";
import type { CertificateOrder } from "../../net/acme/wanted_certificate.ts";
import { CertificateTable } from "../../net/certificate_table.ts";
import { SILENT } from "../../net/log.ts";
import { type WatchedCertificate, WatchedCertificates } from "../../server/certificates/watched_certificates.ts";
import { findCertificateFiles } from "../../server/certificates/certificate_files.ts";
import { certificateOrders } from "../../server/certificates/certificate_orders.ts";
import type { ServerAcmeOptions, ServerOptions } from "../../server/options.ts";
import { escapeText } from "../escape_text.ts";
import { renderTable } from "../table.ts";
import { timeText } from "../time_text.ts";

/** A file of the folder of the operator's own certificates. */
export interface CertificateRow {
  file: string;
  names: readonly string[];
  /** ISO 8601; null when nothing could be read. */
  expires: string | null;
  status: "valid" | "expired" | "not valid yet" | "not used";
  /** Why it is not used, or clients do not take it. */
  reason?: string;
}

/** Who must have a record of the DNS hook before the authority is told; null without a hook. */
type DnsCheck = "name servers of the zone" | "off" | readonly string[] | null;

/** Where certificates beside that of the tunnel endpoint come from. */
export interface CertificateSources {
  /** The operator's own; null when there is no such folder. */
  certificates: { folder: string; files: readonly CertificateRow[] } | null;
  /** Those got from an authority; null when there is none. */
  acme: { directory: string; orders: readonly CertificateOrder[]; dnsCheck: DnsCheck } | null;
  /** What works, but not as the operator may think. */
  warnings: readonly string[];
}

/** Reads the folder, and tells what would be asked of the authority. `given` is the certificate of the tunnel endpoint. @throws {CodedError} CERTIFICATE_INVALID */
export async function checkCertificates(
  options: ServerOptions,
  given: CertificatePair | undefined,
  now: number,
): Promise<CertificateSources> {
  const { domain, hostname = domain, certificatesDir, acme } = options;
  const table = new CertificateTable(["given", "folder"]);
  if (given !== undefined) table.set("given", [given]);
  const certificates = certificatesDir === undefined ? null : {
    folder: certificatesDir,
    files: await readFolder(certificatesDir, table, now),
  };
  function isCovered(name: string): boolean {
    const pair = table.lookup(name, { now });
    return pair !== undefined && isCurrent(pair, now);
  }
  return {
    certificates,
    acme: acme === undefined ? null : {
      directory: acme.directory ?? "",
      dnsCheck: dnsCheckOf(acme),
      orders: certificateOrders({
        ...{ domain, hostname, hasDnsHook: acme.dnsHook !== undefined },
        isCovered,
      }),
    },
    warnings: [
      ...given === undefined ? [] : [coverageFault(given, hostname, "the certificate of the tunnel endpoint")?.message],
      ...certificates?.files.map(({ reason }) => reason) ?? [],
      acme?.dnsHook === undefined && !isCovered(`*.${domain}`) ? withoutWildcard(domain) : undefined,
    ].filter((warning) => warning !== undefined),
  };
}

function withoutWildcard(domain: string): string {
  const what = `names below ${domain} have no HTTPS that ends at this server: no certificate covers *.${domain}`;
  return `${what}; put a wildcard into the folder of certificates, or set acme.dns_hook`;
}

/** The lines of `check`, and the table of files. */
export function renderCertificates({ certificates, acme, warnings }: CertificateSources): string[] {
  const lines = warnings.map((warning) => `  warning: ${warning}`);
  if (acme !== null) {
    lines.push(`  get certificates from ${acme.directory}:`);
    for (const { names, challenge } of acme.orders) {
      lines.push(`    for ${names.join(", ")}, by ${challenge.map((type) => PROOFS[type]).join(" or ")}`);
    }
    lines.push("    for domains of tunnels whose TLS ends here");
    lines.push(...describeDnsCheck(acme.dnsCheck));
  }
  if (certificates === null) return lines.map(escapeText);
  const bad = certificates.files.filter(({ status }) => status === "not used").length;
  const not = bad === 0 ? "" : `, ${bad} of them not used`;
  lines.push(`  use the certificates in ${certificates.folder}: ${certificates.files.length} found${not}`);
  const escaped = lines.map(escapeText);
  if (certificates.files.length === 0) return escaped;
  const rows = certificates.files.map(({ file, names, expires, status }) => [
    ...[file, names.join(", ") || "--", expires === null ? "--" : timeText(expires), status],
  ]);
  return [...escaped, ...renderTable(["File", "Names", "Expires", "Status"], rows).map((line) => `    ${line}`)];
}

function dnsCheckOf({ dnsHook, dnsCheck }: ServerAcmeOptions): DnsCheck {
  if (dnsHook === undefined) return null;
  return dnsCheck === false ? "off" : dnsCheck ?? "name servers of the zone";
}

function describeDnsCheck(check: DnsCheck): string[] {
  if (check === null) return [];
  if (check === "off") return ["    as soon as the DNS hook has ended, without looking for its record"];
  return [
    `    once the record of the DNS hook is seen at ${typeof check === "string" ? `the ${check}` : check.join(", ")}`,
  ];
}

const PROOFS: Readonly<Record<CertificateOrder["challenge"][number], string>> = {
  "dns-01": "a DNS record (dns-01)",
  "http-01": "an answer at port 80 (http-01)",
  "tls-alpn-01": "an answer at port 443 (tls-alpn-01)",
};

async function readFolder(
  path: string,
  table: CertificateTable<"given" | "folder">,
  now: number,
): Promise<CertificateRow[]> {
  await using folder = new WatchedCertificates(() => findCertificateFiles(path), {
    log: SILENT,
    onChange: (pairs) => table.set("folder", pairs),
  });
  await folder.look();
  return folder.certificates.map((certificate) => toRow(certificate, now));
}

function toRow({ file, pair, fault }: WatchedCertificate, now: number): CertificateRow {
  const trouble = fault ?? (pair === undefined ? undefined : validityFault(pair, { what: `"${file}"`, now }));
  return {
    file,
    names: pair?.names ?? [],
    expires: pair?.notAfter.toISOString() ?? null,
    status: pair === undefined ? "not used" : statusOf(pair, now),
    ...(trouble === undefined ? {} : { reason: `${trouble.code}: ${trouble.message}` }),
  };
}

function statusOf(pair: CertificatePair, now: number): CertificateRow["status"] {
  if (isExpired(pair, now)) return "expired";
  return isCurrent(pair, now) ? "valid" : "not valid yet";
}
