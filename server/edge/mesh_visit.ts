import type { Duplex } from "../../net/duplex.ts";
import type { StreamOpen } from "../../protocol/stream_message.ts";
import type { PublishedRule } from "../published_rule.ts";

/** A connection that comes to an HTTP rule through the mesh: the policy stands in for the rule's firewall. */
export interface MeshVisit {
  readonly duplex: Duplex;
  /** Of whoever is at its other end. */
  readonly address: string;
  readonly source: StreamOpen["source"];
  /** The rule of a canonical host, if it may be reached; asked for every request. Throws UNKNOWN_HOST, TUNNEL_OFFLINE, DESTINATION_DENIED. */
  readonly find: (host: string) => PublishedRule;
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
