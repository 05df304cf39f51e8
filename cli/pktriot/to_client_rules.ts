import type { ClientHttpRule, ClientRule, FetchHandler, TlsEnd } from "../../client/options.ts";
import type { FirewallRule, Rule } from "../../protocol/rule.ts";
import type { ClientConfig, FirewallEntry, HttpEntry, TcpEntry } from "./config.ts";
import { httpOptionsOf } from "./http_options_of.ts";
import type { TlsEntry } from "./tls_schema.ts";

/** What a configuration publishes, as `connect()` takes it. A port without a target is kept, not published. */
export function toClientRules(config: Pick<ClientConfig, "http" | "tcp">): ClientRule[] {
  return [
    ...config.http.map(toClientHttp),
    ...config.tcp.flatMap((entry): ClientRule[] =>
      entry.target === undefined ? [] : [{
        kind: "tcp",
        port: entry.port,
        target: entry.target,
        firewall: toFirewall(entry.firewall),
        ...(entry.proxyProtocol === undefined ? {} : { proxyProtocol: entry.proxyProtocol }),
        ...serviceOf(entry),
      }]
    ),
  ];
}

function toClientHttp(entry: HttpEntry): ClientHttpRule {
  return {
    kind: "http",
    domain: entry.domain,
    target: entry.target ?? nowhere,
    firewall: toFirewall(entry.firewall),
    ...(entry.insecureUpstream === undefined ? {} : { insecureUpstream: entry.insecureUpstream }),
    ...(entry.tls === undefined ? {} : { tls: toTlsEnd(entry.tls) }),
    ...sharedOf(entry),
  };
}

/** For rules that redirect all there is: one function for ever, so that an edit elsewhere does not make it another target. */
const nowhere: FetchHandler = function nowhere() {
  return new Response("There is nothing here.\n", { status: 404 });
};

function toTlsEnd(tls: TlsEntry): TlsEnd {
  if (tls === "server") return { end: "server" };
  if (tls === "letsencrypt") return { end: "client", certificate: "acme" };
  if ("target" in tls) return { end: "target", target: tls.target };
  return { end: "client", certificate: { certificateFile: tls.certificate, keyFile: tls.key } };
}

/** An HTTP rule as the server checks it. */
export function toWireHttp(entry: HttpEntry): Rule {
  const { domain, target = "", tls } = entry;
  return {
    kind: "http",
    domain,
    target,
    firewall: toFirewall(entry.firewall),
    ...(tls === undefined ? {} : { tls: toTlsEnd(tls).end }),
    ...(tls === "letsencrypt" ? { acme: true } : {}),
    ...sharedOf(entry),
  };
}

/** What client and wire call by the same names. */
function sharedOf(
  entry: HttpEntry,
): Pick<ClientHttpRule, "hostHeader" | "redirect" | "options" | "proxyProtocol" | "service" | "private"> {
  const options = httpOptionsOf(entry);
  return {
    ...(entry.hostHeader === undefined ? {} : { hostHeader: entry.hostHeader }),
    ...(entry.redirect === undefined ? {} : { redirect: entry.redirect }),
    ...(options === undefined ? {} : { options }),
    ...(entry.proxyProtocol === undefined ? {} : { proxyProtocol: entry.proxyProtocol }),
    ...serviceOf(entry),
  };
}

function serviceOf(entry: Pick<HttpEntry, "service" | "private">): Pick<ClientHttpRule, "service" | "private"> {
  return {
    ...(entry.service === undefined ? {} : { service: entry.service }),
    ...(entry.private === undefined ? {} : { private: entry.private }),
  };
}

/** A TCP rule as the server checks it. */
export function toWireTcp(entry: TcpEntry): Rule {
  const { port, target = "", firewall, proxyProtocol } = entry;
  return {
    ...{ kind: "tcp", transport: "tcp", port, target, firewall: toFirewall(firewall) },
    ...(proxyProtocol === undefined ? {} : { proxyProtocol }),
    ...serviceOf(entry),
  };
}

function toFirewall(entry: FirewallEntry | undefined): FirewallRule[] {
  return [
    ...(entry?.allow ?? []).map((network) => ({ action: "allow", network }) as const),
    ...(entry?.drop ?? []).map((network) => ({ action: "drop", network }) as const),
  ];
}
