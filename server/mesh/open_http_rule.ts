import type { Duplex } from "../../net/duplex.ts";
import { memoryPair } from "../../net/memory_duplex.ts";
import { CodedError } from "../../protocol/errors.ts";
import type { PublishedRule } from "../published_rule.ts";
import type { Router } from "../router.ts";
import type { Access } from "./access.ts";
import { sourceOf } from "./identity.ts";
import type { RuleAsked } from "./policy_target.ts";
import type { MeshEdge, MeshFound } from "../edge/mesh_visit.ts";
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
  readonly asked: RuleAsked & Required<Pick<RuleAsked, "host" | "secure">>;
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

interface FindParts {
  readonly stream: RunningStream;
  readonly first: PublishedRule;
  readonly parts: OpenHttpParts;
}

/**
 * The rule of a request's host, which may be another one than that for which the stream was opened: it is judged as well (security R9).
 * A host that names nothing, such as the `127.0.0.1:8080` of a port map, leads to what the stream was opened for.
 */
function find(host: string, { stream, first, parts }: FindParts): MeshFound {
  const { access, asked } = parts;
  const named = ruleOf(host, parts);
  const name = named === undefined ? ownName(host, { first, parts }) : host;
  const rule = named ?? parts.router.find(name);
  if (rule === undefined) throw nobodyAt(name, parts.router);
  const judged = { host: name, secure: asked.secure };
  access().judgeRule(stream.identity, rule, judged);
  stream.judge = (identity) => {
    access().judgeRule(identity, first, asked);
    access().judgeRule(identity, rule, judged);
  };
  return named === undefined ? { rule, standIn: name } : { rule };
}

/** The HTTP rule that a host names. */
function ruleOf(host: string, { router, services }: OpenHttpParts): PublishedRule | undefined {
  return router.find(host) ?? services.byName(host).find(({ rule }) => rule.kind === "http");
}

/**
 * The domain for which the stream was opened, in place of a host that names nothing.
 * WARNING: the target is told this name, never the host that was sent, which could be a site of the same target that no rule publishes.
 * In TLS the name is what certificate and rule are chosen by: there is no default (security R38, R39).
 */
function ownName(host: string, { first, parts }: Omit<FindParts, "stream">): string {
  const { router, asked } = parts;
  const isOffline = router.route(host).kind === "offline";
  if (isOffline || asked.secure || first.rule.kind !== "http") throw nobodyAt(host, router);
  return router.find(asked.host) === first ? asked.host : first.rule.domain;
}

function nobodyAt(host: string, router: Router): CodedError {
  return new CodedError(router.route(host).kind === "offline" ? "TUNNEL_OFFLINE" : "UNKNOWN_HOST");
}
