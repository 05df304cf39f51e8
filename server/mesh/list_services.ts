import { MAX_LISTED_SERVICES } from "../../protocol/limits.ts";
import type { ListedService, RequestResult } from "../../protocol/request.ts";
import type { PublishedRule } from "../published_rule.ts";
import type { Access } from "./access.ts";
import type { AllowEntry } from "./allow_list.ts";
import type { MeshIdentity } from "./identity.ts";
import type { HostPattern } from "./host_pattern.ts";
import type { PolicyTarget } from "./policy_line.ts";

/** What somebody may reach, by name: nothing else is told. */
export function listServices(
  identity: MeshIdentity,
  { access, rules }: { access: Access; rules: readonly PublishedRule[] },
): RequestResult<"service.list"> {
  const allowed = rules.filter((rule) => access.decide(identity, rule).action === "allow").flatMap(describeRule);
  const outside = access.allow.entries
    .filter((entry) => mayReachSome(identity, entry, access) && access.mayWork(entry)).map(describeEntry);
  const all = [...allowed, ...outside].sort(byName);
  const services = all.slice(0, MAX_LISTED_SERVICES);
  return all.length > services.length ? { services, more: all.length - services.length } : { services };
}

/** An HTTP rule is found by its domain, and by its service name. */
function describeRule({ rule, session }: PublishedRule): ListedService[] {
  const { owner, name: tunnel, hostname } = session.tunnel;
  const common = { owner, tunnel, online: !session.draining };
  if (rule.kind === "tcp") return [{ kind: "tcp", name: rule.service ?? hostname, port: rule.port, ...common }];
  // Where nobody ends TLS for it, there is none; certificates are for domains, never for service names.
  const site = { kind: "http", name: rule.domain, port: rule.tls === undefined ? 80 : 443, ...common } as const;
  return rule.service === undefined ? [site] : [site, { ...site, name: rule.service, port: 80 }];
}

function describeEntry(entry: AllowEntry): ListedService {
  const { ports, text } = entry;
  const single = ports !== undefined && ports.from === ports.to ? { port: ports.from } : {};
  const isRange = ports !== undefined && ports.from !== ports.to;
  return { kind: "external", name: isRange ? text : placeOf(entry), ...single, online: true };
}

function placeOf(entry: AllowEntry): string {
  if (entry.kind === "network") return entry.network.text;
  return entry.pattern.below ? `*.${entry.pattern.name}` : entry.pattern.name;
}

/** Whether the policy lets somebody reach something of an entry, as far as can be said without a name and an address. */
function mayReachSome(identity: MeshIdentity, entry: AllowEntry, { policy }: Access): boolean {
  const hosts = entry.kind === "host" ? [hostOf(entry.pattern)] : [];
  const target: PolicyTarget = { kind: "external", hosts, port: entry.ports?.from ?? 0 };
  const address = entry.kind === "network" ? { address: entry.network.text.replace(/\/.*$/, "") } : {};
  return policy.decide(identity, { ...target, ...address }).action === "allow";
}

/** A name that fits: what is below a pattern is told by any one of them. */
function hostOf({ name, below }: HostPattern): string {
  return below ? `any.${name}` : name;
}

function byName(a: ListedService, b: ListedService): number {
  if (a.name !== b.name) return a.name < b.name ? -1 : 1;
  return (a.port ?? 0) - (b.port ?? 0);
}
