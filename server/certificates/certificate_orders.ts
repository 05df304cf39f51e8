import { isOrderName } from "../../net/acme/certificate_files.ts";
import type { CertificateOrder } from "../../net/acme/wanted_certificate.ts";

/** What decides which certificates the server gets from an authority. */
export interface OrdersOptions {
  readonly domain: string;
  readonly hostname: string;
  /** Whether DNS records can be set: without that there is no wildcard. */
  readonly hasDnsHook: boolean;
  /** Names of rules whose TLS ends here. */
  readonly customDomains?: Iterable<string>;
  /** Whether the operator gave a certificate for the name (`*.example.com` too). */
  readonly isCovered: (name: string) => boolean;
}

/** By an answer at the edge: port 80 first, where most authorities look anyway. */
const AT_EDGE = ["http-01", "tls-alpn-01"] as const;

/**
 * The wildcard of the domain, the endpoint's own name, and what rules ask for: each unless something covers it already, or no authority
 * has certificates for such a name (`localhost`), which must not keep the others from theirs.
 */
export function certificateOrders(options: OrdersOptions): CertificateOrder[] {
  const { domain, hostname, hasDnsHook, customDomains = [], isCovered } = options;
  const wildcard = `*.${domain}`;
  const orders: CertificateOrder[] = [];
  if (hasDnsHook && !(isCovered(wildcard) && isCovered(domain))) {
    orders.push({ names: [wildcard, domain], challenge: ["dns-01"] });
  }
  for (const name of new Set([hostname, ...customDomains])) {
    const isWithin = hasDnsHook && (name === domain || name.slice(name.indexOf(".")) === `.${domain}`);
    if (!isWithin && !isCovered(name)) orders.push({ names: [name], challenge: AT_EDGE });
  }
  return orders.filter(({ names }) => names.every(isOrderName));
}
