import { ChannelStream } from "../../../net/channel_stream.ts";
import type { Duplex } from "../../../net/duplex.ts";
import type { Logger } from "../../../net/log.ts";
import { pipe } from "../../../net/pipe.ts";
import type { ProxyRequest } from "../../../net/proxy_request.ts";
import { formatDestination } from "../../../protocol/destination.ts";
import { CodedError, type ErrorName, toCodedError } from "../../../protocol/errors.ts";
import type { ServerLimits } from "../../limits.ts";
import type { Metrics } from "../../metrics.ts";
import { LOGGED_BY_ACCESS } from "../access.ts";
import { identityFacts, type MeshIdentity } from "../identity.ts";
import type { Mesh, MeshConnection } from "../mesh.ts";
import { currentIdentity, type ProxyIdentityParts } from "./proxy_identity.ts";

/** What a proxy's client speaks. */
export type ProxyKind = "socks" | "connect";

/** One connection to a proxy. */
export interface ProxyVisit {
  readonly visitor: Duplex;
  readonly kind: ProxyKind;
  /** Of whoever is at its other end. */
  readonly address: string;
  /** What it asks for; it was told what is wrong when this rejects. */
  readonly request: Promise<ProxyRequest<MeshIdentity>>;
}

/** What serving it needs. */
export interface ServeProxyParts extends ProxyIdentityParts {
  readonly mesh: Pick<Mesh, "open" | "admitsAnonymous">;
  readonly metrics: Pick<Metrics, "bytes" | "countRefusal" | "proxied">;
  readonly log: Logger;
  readonly limits: Readonly<Pick<ServerLimits, "lingerMs">>;
}

/** Noise of the internet, of which nobody needs a line each. */
const NOISE: ReadonlySet<ErrorName> = new Set<ErrorName>(["STREAM_RESET", "SOCKS_INVALID", "REQUEST_TIMEOUT"]);

/** Opens what a proxy's client asks for, and joins the two until both directions have ended. Never rejects. */
export async function serveProxy(visit: ProxyVisit, parts: ServeProxyParts): Promise<void> {
  const { visitor, kind, address } = visit;
  let request: ProxyRequest<MeshIdentity>;
  try {
    request = await visit.request;
  } catch (error) {
    return noteRefusal("proxy client refused", error, { facts: { proxy: kind, from: "unknown", address }, parts });
  }
  parts.metrics.proxied[kind]++;
  // The policy grants to nobody by default what it grants to no one by name.
  const identity = request.identity ?? { kind: "anonymous", address };
  const facts = { proxy: kind, ...identityFacts(identity), to: formatDestination(request.destination) };
  let connection: MeshConnection;
  try {
    connection = await open(visitor, { ...request, identity }, parts);
  } catch (error) {
    noteRefusal("mesh stream refused", error, { facts, parts });
    return await request.fail(toCodedError(error));
  }
  try {
    await request.succeed();
    await join(visitor, connection.duplex, parts);
    parts.log.debug("mesh stream ended", facts);
  } catch (error) {
    connection.duplex.reset(error);
    const { code, message } = toCodedError(error);
    parts.log.debug("mesh stream cut", { ...facts, code, reason: message });
  }
}

/** Gives up when the client goes meanwhile. */
async function open(
  visitor: Duplex,
  { identity, destination }: { identity: MeshIdentity } & Pick<ProxyRequest<MeshIdentity>, "destination">,
  parts: ServeProxyParts,
): Promise<MeshConnection> {
  const gone = new AbortController();
  void visitor.closed.then(() => gone.abort(new CodedError("STREAM_RESET", "The proxy's client has left")));
  return await parts.mesh.open(await currentIdentity(identity, parts), destination, { signal: gone.signal });
}

async function join(visitor: Duplex, duplex: Duplex, { limits, metrics }: ServeProxyParts): Promise<void> {
  const target = duplex instanceof ChannelStream ? duplex : undefined;
  await pipe(visitor, duplex, {
    lingerMs: limits.lingerMs,
    onBytes: (count, direction) => {
      if (direction === "down" && target !== undefined) target.delivered += count;
      metrics.bytes[direction] += count;
    },
  });
}

function noteRefusal(
  event: string,
  error: unknown,
  { facts, parts }: { facts: Record<string, string>; parts: Pick<ServeProxyParts, "log" | "metrics"> },
): void {
  const { kind, code, message } = toCodedError(error);
  parts.metrics.countRefusal(kind);
  parts.log[NOISE.has(kind) || LOGGED_BY_ACCESS.has(kind) ? "debug" : "info"](event, {
    ...facts,
    code,
    reason: message,
  });
}
