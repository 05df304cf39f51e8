import type { Logger } from "../net/log.ts";
import { CodedError, toCodedError } from "../protocol/errors.ts";
import { canonicalHost } from "../protocol/host_name.ts";
import { type ControlMessageOf, describeIssue } from "../protocol/message.ts";
import { type RequestMethod, type RequestParams, type RequestResult, REQUESTS } from "../protocol/request.ts";
import type { DomainProofs } from "./domain_proofs.ts";
import { tunnelIdentity } from "./mesh/identity.ts";
import type { Mesh } from "./mesh/mesh.ts";
import type { Session } from "./session.ts";
import type { Sessions } from "./sessions.ts";
import type { ServerState } from "./state/server_state.ts";

/** What answering a request may need. */
export interface RequestContext {
  session: Session;
  sessions: Sessions;
  state: ServerState;
  proofs: Pick<DomainProofs, "add" | "verify" | "list" | "remove">;
  mesh: Pick<Mesh, "services" | "check">;
  log: Logger;
}

type Handlers = {
  [M in RequestMethod]: (
    params: RequestParams<M>,
    context: RequestContext,
  ) => RequestResult<M> | Promise<RequestResult<M>>;
};

/** One handler a method; each is allowed to whoever holds the tunnel's token. */
const HANDLERS: Handlers = {
  "port.allocate": async ({ port }, { session, state }) => ({
    port: await state.ports.allocate(session.tunnel, port === undefined ? {} : { port }),
  }),
  "port.release": async ({ port }, { session, sessions, state }) => {
    await state.ports.release(session.tunnel, port);
    sessions.serving(session.tunnel.id)?.publisher.drop(`tcp/${port}`);
    return {};
  },
  "port.list": (_params, { session, state }) => ({ ports: state.ports.listOf(session.tunnel.id) }),
  "name.check": ({ domain }, { session }) => {
    session.publisher.check({ kind: "http", domain: canonicalHost(domain), target: "", firewall: [] });
    return {};
  },
  "name.release": async ({ domain }, { session, sessions, state }) => {
    await state.names.release(session.tunnel, domain);
    sessions.serving(session.tunnel.id)?.publisher.dropBelow(state.names.unitOf(domain));
    return {};
  },
  "name.list": (_params, { session, state }) => ({ names: state.names.listOf(session.tunnel.id) }),
  "domain.add": ({ domain }, { session, proofs }) => proofs.add(session.tunnel, domain),
  "domain.verify": ({ domain }, { session, proofs }) => proofs.verify(session.tunnel, domain),
  "domain.list": (_params, { session, proofs }) => ({ domains: proofs.list(session.tunnel) }),
  "domain.remove": async ({ domain }, { session, proofs }) => {
    await proofs.remove(session.tunnel, domain);
    return {};
  },
  "rule.check": ({ rule }, { session }) => {
    const whole = { firewall: [], transport: "tcp", ...rule } as Parameters<typeof session.publisher.check>[0];
    session.publisher.check(whole);
    return session.publisher.addressOf(whole);
  },
  "rule.states": (_params, { session, sessions }) => {
    const serving = sessions.serving(session.tunnel.id);
    return serving === undefined ? {} : { states: [...serving.publisher.states] };
  },
  "service.list": (_params, { session, mesh }) => mesh.services(tunnelIdentity(session.tunnel, session.from)),
  "destination.check": ({ destination }, { session, mesh }) => {
    mesh.check(tunnelIdentity(session.tunnel, session.from), destination);
    return {};
  },
  "tunnel.info": (_params, { session, sessions }) => {
    const { id, name, hostname, owner, tags } = session.tunnel;
    const serving = sessions.serving(id);
    return {
      ...{ id, name, hostname, owner, tags: [...tags] },
      ...(serving === undefined ? {} : { serving: { host: serving.hello.host, since: serving.since.toISOString() } }),
    };
  },
  "tunnel.rename": async ({ name }, { session, sessions, state }) => {
    sessions.updateTunnel(await state.tunnels.rename(session.tunnel.id, name));
    return {};
  },
  "token.rotate": async (_params, { session, state }) => ({
    token: await state.tunnels.rotateToken(session.tunnel.id),
  }),
};

/** The `result` or `error` of a response. */
export type RequestAnswer = { result: unknown } | { error: { code: string; message: string } };

/** Carries a request out. Never rejects. */
export async function answerRequest(
  { method, params }: ControlMessageOf<"request">,
  context: RequestContext,
): Promise<RequestAnswer> {
  try {
    if (!Object.hasOwn(REQUESTS, method)) throw new CodedError("UNKNOWN_METHOD", `"${method}" is not known here`);
    const parsed = REQUESTS[method as RequestMethod].params.safeParse(params);
    if (!parsed.success) throw new CodedError("BAD_REQUEST", `${method}: ${describeIssue(parsed.error)}`);
    const handler = HANDLERS[method as RequestMethod] as (params: unknown, context: RequestContext) => unknown;
    return { result: await handler(parsed.data, context) };
  } catch (error) {
    const coded = toCodedError(error);
    if (coded.kind === "INTERNAL") context.log.error("request failed", { method, reason: coded.message });
    return { error: { code: coded.code, message: coded.message.slice(0, 1024) } };
  }
}
