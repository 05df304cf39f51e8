import { type Destination, isServiceName, parseDestination } from "../../protocol/destination.ts";
import type { AllowList } from "../../server/mesh/allow_list.ts";
import type { MeshIdentity } from "../../server/mesh/identity.ts";
import type { PolicyTarget } from "../../server/mesh/policy_line.ts";
import { externalTarget } from "../../server/mesh/policy_target.ts";
import type { ServerState } from "../../server/state/server_state.ts";
import type { Tunnel } from "../../server/state/tunnels.ts";
import { CommandError, usageError } from "../command_error.ts";

/** What a destination is, as far as it can be told beside the running server. */
export interface PolicySubject {
  readonly target: PolicyTarget;
  /** For people: `the service redis of laptop`. */
  readonly what: string;
  /** A host outside, which has to be looked up. */
  readonly outside?: Destination;
  /** What only the running server knows, and could change the answer. */
  readonly unknown?: string;
  /** What it may be as well, as service name and port of a rule are known to the running server alone. */
  readonly others?: readonly PolicyTarget[];
}

/** Where destinations are looked for. */
export interface SubjectParts {
  readonly state: Pick<ServerState, "tunnels" | "ports" | "names">;
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

/** What a destination would lead to, in the order in which the server looks. @throws {CodedError} DESTINATION_INVALID, NOT_FOUND */
export function findSubject(text: string, parts: SubjectParts): PolicySubject {
  const { state, allow, by, services } = parts;
  const service = /^service:(.+)$/.exec(text)?.[1];
  if (service !== undefined && isServiceName(service)) return serviceSubject(service, parts);
  const destination = parseDestination(text);
  const { host, port } = destination;
  if (allow.find(host, port) !== undefined) {
    return { target: externalTarget(destination), what: "a host outside that is allowed", outside: destination };
  }
  const ofPort = tunnelOf(state, state.ports.ownerOf(port));
  if (ofPort !== undefined) {
    return { ...ruleSubject(ofPort, { port }, { services }), what: `port ${port} of ${ofPort.name}` };
  }
  if (by !== undefined && isServiceName(host)) return serviceSubject(host, parts);
  const ofName = port === 80 || port === 443 ? tunnelOf(state, state.names.ownerOf(host)) : undefined;
  if (ofName !== undefined) {
    return { ...ruleSubject(ofName, { port, host }, { services }), what: `the site ${host} of ${ofName.name}` };
  }
  const ofHost = state.tunnels.list().find(({ hostname }) => host === hostname || host.endsWith(`.${hostname}`));
  if (ofHost !== undefined) {
    const unknown = "which of its ports is meant is known to the running server alone";
    return { ...ruleSubject(ofHost, { port: 0 }), what: `a TCP rule of ${ofHost.name}`, unknown };
  }
  if (isServiceName(host)) return serviceSubject(host, parts);
  throw new CommandError("DESTINATION_UNKNOWN", `${text} is no host that is allowed, and nothing of a tunnel`, {
    fix: "Add it to `allow` under `mesh` of the configuration, or correct it.",
  });
}

function serviceSubject(service: string, { state, by }: SubjectParts): PolicySubject {
  if (by !== undefined) {
    const ports = state.ports.listOf(by.id);
    return { ...ruleSubject(by, { port: 0, service }, { ports }), what: `the service ${service} of ${by.name}` };
  }
  const unknown = "who offers it is known to the running server alone: name the tunnel with --by";
  return { target: { kind: "rule", service, port: 0, hosts: [] }, what: `the service ${service}`, unknown };
}

/** A rule of a tunnel; with these services or ports it would be another one to the policy. */
function ruleSubject(
  { owner, tags, hostname }: Tunnel,
  { port, host = hostname, service }: { port: number; host?: string; service?: string },
  { services = [], ports = [] }: { services?: readonly string[]; ports?: readonly number[] } = {},
): Pick<PolicySubject, "target" | "others"> {
  const target = { kind: "rule", owner, tags, service, port, hosts: [host] } as const;
  const others = [
    ...services.map((each) => ({ ...target, service: each })),
    ...ports.map((each) => ({ ...target, port: each })),
  ];
  return { target, others };
}

function tunnelOf({ tunnels }: SubjectParts["state"], id: string | undefined): Tunnel | undefined {
  return id === undefined ? undefined : tunnels.get(id);
}
