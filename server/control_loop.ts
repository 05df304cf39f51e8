import type { ControlChannel } from "../net/control_channel.ts";
import { Deadline } from "../net/deadline.ts";
import type { Logger } from "../net/log.ts";
import { CodedError, ProtocolError, StreamResetError, toCodedError } from "../protocol/errors.ts";
import { MAX_NETWORKS_PER_RULE, MAX_OPEN_REQUESTS, MAX_RULES } from "../protocol/limits.ts";
import type { ControlMessage, Hello, UnknownMessage, Welcome } from "../protocol/message.ts";
import type { Rule } from "../protocol/rule.ts";
import type { DomainProofs } from "./domain_proofs.ts";
import type { ServerLimits } from "./limits.ts";
import type { Mesh } from "./mesh/mesh.ts";
import { answerRequest } from "./requests.ts";
import { RuleUpdates } from "./rule_updates.ts";
import type { Session } from "./session.ts";
import type { Sessions } from "./sessions.ts";
import type { ServerState } from "./state/server_state.ts";
import type { Tunnel } from "./state/tunnels.ts";

/** What dealing with control channels needs. */
export interface ControlLoopParts {
  state: ServerState;
  sessions: Sessions;
  proofs: Pick<DomainProofs, "add" | "verify" | "list" | "remove">;
  mesh: Pick<Mesh, "services" | "check">;
  limits: Readonly<ServerLimits>;
  log: Logger;
  /** What `welcome` tells about this server. */
  about: Welcome["server"];
}

/** An upgraded control channel of an authenticated tunnel. */
export interface ControlDial {
  tunnel: Tunnel;
  control: ControlChannel;
  from: string;
  /** The connection's place among those that belong to no session yet; given up when it does. */
  admitted: Disposable;
}

/** One control channel, from the client's hello to its end. */
export class ControlLoop {
  readonly #parts: ControlLoopParts;
  readonly #dial: ControlDial;
  #requests = 0;
  #updates: RuleUpdates | null = null;

  constructor(parts: ControlLoopParts, dial: ControlDial) {
    this.#parts = parts;
    this.#dial = dial;
  }

  /** Never rejects: what goes wrong ends the channel, and a violation its session. */
  async run(): Promise<void> {
    const { control, tunnel, from, admitted } = this.#dial;
    let session: Session | undefined;
    try {
      const hello = await this.#receiveHello();
      session = await this.#parts.sessions.join({
        ...{ tunnel, hello, control, from },
        welcome: (joined, resumed) => this.#welcome(joined, resumed),
      });
      admitted[Symbol.dispose]();
      await this.#serve(session);
    } catch (error) {
      await this.#end(session, error);
    }
  }

  async #receiveHello(): Promise<Hello> {
    const { control } = this.#dial;
    using _deadline = new Deadline(this.#parts.limits.headMs, () => control.reset());
    const message = await control.receive();
    if (message?.kind === "hello") return message;
    if (message === null) throw new StreamResetError("The client left without a hello");
    throw new ProtocolError(`Cannot take "${message.kind}" before hello`);
  }

  #welcome(session: Session, resumed: boolean): Welcome {
    const { about, limits, sessions } = this.#parts;
    const { id, name, hostname } = session.tunnel;
    session.heartbeatMs = sessions.heartbeatMs;
    return {
      kind: "welcome",
      session: session.id,
      secret: session.secret,
      resumed,
      tunnel: { id, name, hostname },
      server: about,
      limits: { rules: MAX_RULES, networks: MAX_NETWORKS_PER_RULE, streams: limits.streamsPerSession },
      heartbeatMs: session.heartbeatMs,
    };
  }

  /** Until the peer leaves, or the session ends and takes the channel with it. */
  async #serve(session: Session): Promise<void> {
    const { control } = this.#dial;
    for (let message = await control.receive(); message !== null; message = await control.receive()) {
      await this.#handle(session, message);
    }
    session.detachControl(control);
    control.reset();
  }

  async #handle(session: Session, message: ControlMessage | UnknownMessage): Promise<void> {
    switch (message.kind) {
      case "rules":
        return this.#applyRules(session, message.revision, message.rules);
      case "request":
        return this.#answer(session, message);
      case "drain":
        session.draining = true;
        session.publisher.detachIdle();
        return;
      case "bye":
        return await session.end(new CodedError("SESSION_CLOSED", "The client has stopped"));
      case "unknown":
        return this.#parts.log.debug("unknown control message", { session: session.id, kind: message.name });
      case "response":
        return; // Nothing is asked of a client yet.
      case "hello":
      case "welcome":
      case "rules.applied":
      case "pool":
      case "notice":
        throw new ProtocolError(`Cannot take "${message.kind}" from a client`);
      default:
        message satisfies never;
    }
  }

  /** Applied beside the reading of further messages. */
  #applyRules(session: Session, revision: number, rules: readonly Rule[]): void {
    if (session.role !== "serve") {
      throw new ProtocolError('Cannot take "rules" from a session that only uses the tunnel');
    }
    this.#updates ??= new RuleUpdates(session);
    this.#updates.push(revision, rules);
  }

  #answer(session: Session, message: Extract<ControlMessage, { kind: "request" }>): void {
    if (this.#requests >= MAX_OPEN_REQUESTS) {
      throw new ProtocolError(`Cannot take more than ${MAX_OPEN_REQUESTS} requests at once`);
    }
    this.#requests++;
    // Until its answer has gone out: a client that asks and does not read must not fill our memory.
    answerRequest(message, { session, ...this.#parts })
      .then((answer) => session.send({ kind: "response", id: message.id, ...answer }))
      .then(() => this.#requests--);
  }

  async #end(session: Session | undefined, error: unknown): Promise<void> {
    const { control, tunnel, from } = this.#dial;
    const coded = toCodedError(error);
    const lost = coded.kind === "STREAM_RESET";
    if (!lost) {
      this.#parts.log.warn("control ended", { tunnel: tunnel.id, from, code: coded.code, reason: coded.message });
    }
    if (session !== undefined && !lost) return await session.end(coded);
    session?.detachControl(control);
    if (lost) return control.reset();
    // Before the session: the newcomer learns why it may not join.
    const final = coded.kind === "ALREADY_RUNNING" || coded.kind === "REVOKED";
    control.send({ kind: "bye", code: coded.code, message: coded.message.slice(0, 1024), final }).catch(() => {
      // It has gone already.
    });
    await control.close();
  }
}
