import { type Destination, isServiceName, parseDestination } from "../../protocol/destination.ts";
import type { AllowList } from "../../server/mesh/allow_list.ts";
import type { MeshIdentity } from "../../server/mesh/identity.ts";
import type { PolicyTarget } from "../../server/mesh/policy_line.ts";
import { externalTarget } from "../../server/mesh/policy_target.ts";
import type { ServerState } from "../../server/state/server_state.ts";
import type { Tunnel } from "../../server/state/tunnels.ts";
import { CommandError, usageError } from "../command_error.ts";

const HTTP_PORT = 80;
const HTTPS_PORT = 443;

/** What a destination is, as far as it can be told beside the running server. */
export interface PolicySubject {
  /** For people: `the service redis of laptop`. */
  readonly what: string;
  /** All that it may be to the policy; what the running server alone knows decides between them. */
  readonly targets: readonly PolicyTarget[];
  /** What that is. */
  readonly on: string;
  /** A host outside, which has to be looked up. */
  readonly outside?: Destination;
}

/** Where destinations are looked for. */
export interface SubjectParts {
  readonly state: Pick<ServerState, "tunnels" | "ports" | "names" | "serviceNames">;
  readonly allow: AllowList;
  /** The tunnel that offers a service. */
  readonly by: Tunnel | undefined;
  /** Service names that lines of the policy are about. */
  readonly services: readonly string[];
}

/** Who is meant: `anonymous`, `owner:alice`, `tag:db`, or a tunnel. @throws {CommandError} NOT_FOUND, USAGE */
export function findIdentity(text: string, tunnels: readonly Tunnel[]): { identity: MeshIdentity; who: string } {
  if (text === "anonymous") {
    return { identity: { kind: "anonymous", address: "" }, who: "somebody without credentials" };
  }
  const nobody = { id: "", name: "", hostname: "", owner: "", tags: [] };
  const [, kind, value = ""] = /^(owner|tag):(.+)$/.exec(text) ?? [];
  if (kind === "owner") {
    return {
      identity: { kind: "tunnel", tunnel: { ...nobody, owner: value }, address: "" },
      who: `a tunnel of ${value}`,
    };
  }
  if (kind === "tag") {
    return {
      identity: { kind: "tunnel", tunnel: { ...nobody, tags: [value] }, address: "" },
      who: `a tunnel tagged ${value}`,
    };
  }
  const tunnel = findNamedTunnel(text, tunnels);
  const tags = tunnel.tags.length === 0 ? "" : `, tagged ${tunnel.tags.join(", ")}`;
  return { identity: { kind: "tunnel", tunnel, address: "" }, who: `${tunnel.name} of ${tunnel.owner}${tags}` };
}

/** The tunnel with this id, hostname or name. @throws {CommandError} NOT_FOUND, USAGE */
export function findNamedTunnel(text: string, tunnels: readonly Tunnel[]): Tunnel {
  const exact = tunnels.find(({ id, hostname }) => id === text || hostname === text.toLowerCase());
  if (exact !== undefined) return exact;
  const [named, ...others] = tunnels.filter(({ name }) => name === text);
  if (named === undefined) {
    throw new CommandError("NOT_FOUND", `There is no tunnel with the id, hostname or name "${text}"`, {
      fix: "List them with `spokes tunnel ls`.",
    });
  }
  if (others.length === 0) return named;
  throw usageError(`${others.length + 1} tunnels have the name "${text}"`, {
    fix: "Give the hostname of one of them.",
  });
}

/** What a destination would lead to, in the order in which the server looks. @throws {CodedError} DESTINATION_INVALID, DESTINATION_UNKNOWN */
export function findSubject(text: string, parts: SubjectParts): PolicySubject {
  const { state, allow } = parts;
  const service = /^service:(.+)$/.exec(text)?.[1];
  if (service !== undefined && isServiceName(service)) return serviceSubject(service, HTTP_PORT, parts);
  const destination = parseDestination(text);
  const { host, port } = destination;
  if (allow.find(host, port) !== undefined) {
    const targets = [externalTarget(destination)];
    return { targets, what: "a host outside that is allowed", on: "", outside: destination };
  }
  const ofPort = tunnelOf(state, state.ports.ownerOf(port));
  if (ofPort !== undefined) {
    const targets = withServices(ofPort, [tcpTarget(ofPort, port)], parts);
    return { targets, what: `port ${port} of ${ofPort.name}`, on: `which service name the rule of port ${port} has` };
  }
  if (isServiceName(host)) return serviceSubject(host, port, parts);
  const isWeb = port === HTTP_PORT || port === HTTPS_PORT;
  const ofName = isWeb ? tunnelOf(state, state.names.ownerOf(host)) : undefined;
  if (ofName !== undefined) {
    const targets = withServices(ofName, [httpTarget(ofName, host, port)], parts);
    return { targets, what: `the site ${host} of ${ofName.name}`, on: `which service name the rule of ${host} has` };
  }
  const ofHost = state.tunnels.list().find(({ hostname }) => host === hostname || host.endsWith(`.${hostname}`));
  if (ofHost !== undefined) return hostnameSubject(ofHost, parts);
  throw new CommandError("DESTINATION_UNKNOWN", `${text} is no host that is allowed, and nothing of a tunnel`, {
    fix: "Add it to `allow` under `mesh` of the configuration, or correct it.",
  });
}

/** Whose the name is, the state knows; not which of their tunnels offer it, nor by which rules. */
function serviceSubject(service: string, port: number, { state, by }: SubjectParts): PolicySubject {
  const owner = state.serviceNames.list().find(({ name }) => name === service)?.owner;
  const tunnels = by === undefined ? tunnelsOf(owner, state) : [by];
  const targets = tunnels.flatMap((tunnel) => [
    ...state.ports.listOf(tunnel.id).map((each) => tcpTarget(tunnel, each)),
    ...state.names.listOf(tunnel.id).map((domain) =>
      httpTarget(tunnel, domain, port === HTTPS_PORT ? port : HTTP_PORT)
    ),
  ]).map((target): PolicyTarget => ({ ...target, service }));
  // Whoever comes with a new tunnel.
  const anybody: PolicyTarget = { kind: "rule", service, port: 0, hosts: [], ...(owner !== undefined && { owner }) };
  const isOpen = by === undefined && (owner === undefined || targets.length === 0);
  const whose = by?.name ?? owner;
  return {
    targets: isOpen ? [...targets, anybody] : targets,
    what: `the service ${service}${whose === undefined ? ", which nobody has yet" : ` of ${whose}`}`,
    on: by === undefined
      ? `which tunnel${
        owner === undefined ? "" : ` of ${owner}`
      } offers it, and by which rule: name the tunnel with --by`
      : `by which of its rules ${by.name} offers it`,
  };
}

function hostnameSubject(tunnel: Tunnel, parts: SubjectParts): PolicySubject {
  const ports = parts.state.ports.listOf(tunnel.id);
  const targets = withServices(tunnel, (ports.length > 0 ? ports : [0]).map((port) => tcpTarget(tunnel, port)), parts);
  return {
    targets,
    what: `a TCP rule of ${tunnel.name}`,
    on: "which of its ports is meant, and the service name of that",
  };
}

function tunnelsOf(owner: string | undefined, { tunnels }: SubjectParts["state"]): readonly Tunnel[] {
  return tunnels.list().filter((tunnel) => owner === undefined || tunnel.owner === owner);
}

function tcpTarget({ owner, tags, hostname }: Tunnel, port: number): PolicyTarget {
  return { kind: "rule", owner, tags, port, hosts: [hostname] };
}

function httpTarget({ owner, tags }: Tunnel, domain: string, port: number): PolicyTarget {
  return { kind: "rule", owner, tags, port, hosts: [domain] };
}

/** The same with each service name that the policy is about and that rules of the tunnel may have. */
function withServices(
  { owner }: Tunnel,
  targets: readonly PolicyTarget[],
  { services, state }: SubjectParts,
): readonly PolicyTarget[] {
  const taken = new Set(state.serviceNames.list().filter((each) => each.owner !== owner).map(({ name }) => name));
  const possible = [undefined, ...services.filter((name) => !taken.has(name))];
  return targets.flatMap((target) => possible.map((service): PolicyTarget => ({ ...target, service })));
}

function tunnelOf({ tunnels }: SubjectParts["state"], id: string | undefined): Tunnel | undefined {
  return id === undefined ? undefined : tunnels.get(id);
}
