import type { Duplex } from "../../net/duplex.ts";
import { memoryPair } from "../../net/memory_duplex.ts";
import { CodedError } from "../../protocol/errors.ts";
import type { PublishedRule } from "../published_rule.ts";
import type { Router } from "../router.ts";
import type { Access } from "./access.ts";
import { sourceOf } from "./identity.ts";
import type { RuleAsked } from "./policy_target.ts";
import type { MeshEdge } from "../edge/mesh_visit.ts";
import type { RunningStream } from "./running_streams.ts";
import type { Services } from "./services.ts";

/** What leading a stream into an edge needs. */
export interface OpenHttpParts {
  readonly edges: { readonly http: MeshEdge; readonly tls: MeshEdge };
  readonly router: Router;
  readonly services: Services;
  /** What decides now. @throws {CodedError} MESH_DISABLED */
  readonly access: () => Access;
  /** What the stream was opened for; over TLS the edge finds out what for. */
  readonly asked: Required<RuleAsked>;
}

/** Leads a stream into the edge that serves a rule's visitors, and gives its other end. */
export function openHttpRule(stream: RunningStream, first: PublishedRule, parts: OpenHttpParts): Duplex {
  const { edges, asked: { secure } } = parts;
  const [near, far] = memoryPair({ keep: true });
  void (secure ? edges.tls : edges.http).serveMesh({
    duplex: far,
    address: stream.identity.address,
    source: sourceOf(stream.identity).source,
    find: (host) => find(host, { stream, first, parts }),
  });
  return near;
}

/** The rule of a request's host, which may be another one than that for which the stream was opened: it is judged as well (security R9). */
function find(
  host: string,
  { stream, first, parts }: { stream: RunningStream; first: PublishedRule; parts: OpenHttpParts },
): PublishedRule {
  const { router, services, access, asked } = parts;
  const { secure } = asked;
  const found = router.find(host) ?? services.byName(host).find(({ rule }) => rule.kind === "http");
  if (found === undefined) {
    throw new CodedError(router.route(host).kind === "offline" ? "TUNNEL_OFFLINE" : "UNKNOWN_HOST");
  }
  access().judgeRule(stream.identity, found, { host, secure });
  stream.judge = (identity) => {
    access().judgeRule(identity, first, asked);
    access().judgeRule(identity, found, { host, secure });
  };
  return found;
}
