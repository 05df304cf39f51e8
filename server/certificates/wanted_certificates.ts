/** A certificate that the server gets from an authority. */
export interface WantedCertificate {
  readonly names: readonly string[];
  /** How the authority is shown that the names are ours: by a DNS record, or by an answer at the edge (http-01 or tls-alpn-01). */
  readonly by: "dns" | "edge";
}

/** What decides which certificates are wanted. */
export interface WantedOptions {
  readonly domain: string;
  readonly hostname: string;
  /** Whether DNS records can be set: without that there is no wildcard. */
  readonly hasDnsHook: boolean;
  /** Names of rules whose TLS ends here. */
  readonly customDomains?: Iterable<string>;
  /** Whether the operator gave a certificate for the name (`*.example.com` too). */
  readonly isCovered: (name: string) => boolean;
}

/** The wildcard of the domain, the endpoint's own name, and what rules ask for: each unless something covers it already. */
export function wantedCertificates(options: WantedOptions): WantedCertificate[] {
  const { domain, hostname, hasDnsHook, customDomains = [], isCovered } = options;
  const wildcard = `*.${domain}`;
  const wanted: WantedCertificate[] = [];
  if (hasDnsHook && !(isCovered(wildcard) && isCovered(domain))) wanted.push({ names: [wildcard, domain], by: "dns" });
  for (const name of new Set([hostname, ...customDomains])) {
    const isWithin = hasDnsHook && (name === domain || name.slice(name.indexOf(".")) === `.${domain}`);
    if (!isWithin && !isCovered(name)) wanted.push({ names: [name], by: "edge" });
  }
  return wanted;
}
