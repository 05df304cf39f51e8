import type { Rule } from "../protocol/rule.ts";
import type { ServerCertificates } from "./certificates/server_certificates.ts";

/** Where the edges are. */
export interface EdgeAddress {
  readonly hostname: string;
  readonly httpPort: number;
  readonly tlsPort: number;
}

/** Tells where visitors reach a rule: over HTTPS whenever somebody ends its TLS. */
export function addressOf(edge: EdgeAddress, certificates: Pick<ServerCertificates, "lookup">): (rule: Rule) => string {
  return (rule) => {
    if (rule.kind === "tcp") return `tcp://${edge.hostname}:${rule.port}`;
    const secure = rule.tls !== undefined || certificates.lookup(rule.domain) !== undefined;
    return secure ? url("https", rule.domain, edge.tlsPort) : url("http", rule.domain, edge.httpPort);
  };
}

const DEFAULT_PORTS = { http: 80, https: 443 } as const;

function url(scheme: "http" | "https", domain: string, port: number): string {
  return `${scheme}://${domain}${port === DEFAULT_PORTS[scheme] ? "" : `:${port}`}`;
}
