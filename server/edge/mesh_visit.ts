import type { Duplex } from "../../net/duplex.ts";
import type { StreamOpen } from "../../protocol/stream_message.ts";
import type { PublishedRule } from "../published_rule.ts";

/** What a host leads to, for a connection that comes through the mesh. */
export interface MeshFound {
  readonly rule: PublishedRule;
  /** The name for which the connection was opened, where the host that was sent names nothing: it stands in for that host. */
  readonly standIn?: string;
}

/** A connection that comes to an HTTP rule through the mesh: the policy stands in for the rule's firewall. */
export interface MeshVisit {
  readonly duplex: Duplex;
  /** Of whoever is at its other end. */
  readonly address: string;
  readonly source: StreamOpen["source"];
  /** What a canonical host leads to, if it may be reached; asked for every request. Throws UNKNOWN_HOST, TUNNEL_OFFLINE, DESTINATION_DENIED. */
  readonly find: (host: string) => MeshFound;
}

/** An edge that takes such connections. */
export interface MeshEdge {
  /** Serves it to its end; never rejects. */
  serveMesh(visit: MeshVisit): Promise<void>;
}

/** Who comes, as the client behind a rule is told. */
export function sourceOf({ source }: MeshVisit): Pick<StreamOpen, "source"> {
  return source === undefined ? {} : { source };
}
