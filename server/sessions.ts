import { timingSafeEqual } from "node:crypto";
import type { ControlChannel } from "../net/control_channel.ts";
import { CodedError, toCodedError } from "../protocol/errors.ts";
import { MAX_USE_SESSIONS } from "../protocol/limits.ts";
import type { Hello, Welcome } from "../protocol/message.ts";
import type { ServerLimits } from "./limits.ts";
import { Session, type SessionOptions } from "./session.ts";
import type { Tunnel } from "./state/tunnels.ts";

/** The clients of a large fleet ping so much less often (5 s become 15 s). */
const LARGE_FLEET_FACTOR = 3;

/** Who comes, and on what. */
export interface Joining {
  tunnel: Tunnel;
  hello: Hello;
  control: ControlChannel;
  from: string;
  /** What the client is greeted with: the first message of every control channel. */
  welcome: (session: Session, resumed: boolean) => Welcome;
}

/** What every session gets. */
export type SessionParts = Pick<SessionOptions, "limits" | "log" | "publishing" | "onConnect"> & {
  /** Whether the tunnel still exists, asked from the store itself. */
  exists: (tunnelId: string) => Promise<boolean>;
  onJoin: (session: Session) => void;
  onEnd: (session: Session, error: CodedError) => void;
};

/** All live sessions: one `serve` and many `use` sessions of each tunnel. */
export class Sessions {
  readonly #parts: SessionParts;
  readonly #limits: Readonly<ServerLimits>;
  readonly #byId = new Map<string, Session>();
  readonly #serving = new Map<string, Session>();
  /** Newcomers of one tunnel are dealt with one after the other. */
  readonly #joining = new Map<string, Promise<unknown>>();

  constructor(parts: SessionParts) {
    this.#parts = parts;
    this.#limits = parts.limits;
  }

  /** All of them. */
  get all(): readonly Session[] {
    return [...this.#byId.values()];
  }

  /** The session that publishes a tunnel's rules. */
  serving(tunnelId: string): Session | undefined {
    return this.#serving.get(tunnelId);
  }

  /** How often a client that comes now is to ping, ms: pings of many tunnels are work too. */
  get heartbeatMs(): number {
    const { heartbeatMs, largeFleet } = this.#limits;
    return this.#serving.size <= largeFleet ? heartbeatMs : heartbeatMs * LARGE_FLEET_FACTOR;
  }

  /** Whether a tunnel has any session. */
  isLive(tunnelId: string): boolean {
    return this.#serving.has(tunnelId) || this.all.some((session) => session.tunnel.id === tunnelId);
  }

  /**
   * The session for a client that has said hello: its own again when it resumes, otherwise a new one. The client is welcomed.
   * @throws {CodedError} ALREADY_RUNNING, TOO_MANY_SESSIONS, REVOKED
   */
  async join(joining: Joining): Promise<Session> {
    const { id } = joining.tunnel;
    const turn = (this.#joining.get(id) ?? Promise.resolve()).then(() => this.#join(joining));
    const settled = turn.catch(() => {
      // Told to the newcomer; the next one has its turn all the same.
    });
    this.#joining.set(id, settled);
    try {
      return await turn;
    } finally {
      if (this.#joining.get(id) === settled) this.#joining.delete(id);
    }
  }

  /**
   * The session that a credential `id.secret` proves, in the same time whether or not the id exists.
   * @throws {CodedError} SESSION_UNKNOWN (it may have ended a moment ago), TOKEN_INVALID for the wrong secret of a live one
   */
  authenticate(credential: string): Session {
    const dot = credential.indexOf(".");
    const session = this.#byId.get(credential.slice(0, Math.max(0, dot)));
    const right = sameSecret(credential.slice(dot + 1), session?.secret ?? "");
    if (session === undefined) throw new CodedError("SESSION_UNKNOWN");
    if (!right) throw new CodedError("TOKEN_INVALID", "The session credential is not valid");
    return session;
  }

  /** The tunnel was removed: every session of it ends for good. */
  async endTunnel(tunnelId: string, error: CodedError): Promise<void> {
    const sessions = this.all.filter((session) => session.tunnel.id === tunnelId || session.tunnel.parent === tunnelId);
    await Promise.all(sessions.map((session) => session.end(error, { final: true })));
  }

  /** The tunnel was renamed. */
  updateTunnel(tunnel: Tunnel): void {
    for (const session of this.all) if (session.tunnel.id === tunnel.id) session.tunnel = tunnel;
  }

  /**
   * A domain was proven or given up: what no longer belongs to a tunnel goes first, so that what waited for it finds its place free.
   * Never rejects.
   */
  async refreshDomain(domain: string): Promise<void> {
    await this.#forServing((session) => session.publisher.dropLost(domain));
    await this.#forServing((session) => session.publisher.retry(domain));
  }

  /**
   * The owner has lost a service name: rules that offer it go first, then those of others that waited for it have their turn. The former
   * owner's wait for the next occasion, or the operator's word would give the name back to them. Never rejects.
   */
  async refreshService(name: string, formerOwner: string): Promise<void> {
    await this.#forServing((session) => session.publisher.dropService(name));
    await this.#forServing(async ({ tunnel, publisher }) => {
      if (tunnel.owner !== formerOwner) await publisher.retryService(name);
    });
  }

  /** Rules that could not be published may be publishable now, or others fare otherwise: a certificate has come, or cannot be had. Never rejects. */
  retryRefused(): Promise<void> {
    return this.#forServing((session) => session.publisher.retry());
  }

  /** Once a second: drops control channels that went silent, and lets each session look after its data channels. */
  sweep(now: number): void {
    for (const session of this.#byId.values()) {
      const { control, heartbeatMs } = session;
      if (control !== null && control.heardAt < now - 3 * heartbeatMs) control.reset();
      session.sweep(now);
    }
  }

  async #forServing(action: (session: Session) => Promise<void>): Promise<void> {
    await Promise.all([...this.#serving.values()].map(async (session) => {
      try {
        await action(session);
      } catch (error) {
        await session.end(toCodedError(error));
      }
    }));
  }

  async #join(joining: Joining): Promise<Session> {
    const resumed = this.#resume(joining);
    if (resumed !== null) return resumed;
    if (joining.hello.role === "serve") await this.#makeRoom(joining);
    else this.#assertFewUsing(joining.tunnel.id);
    const { tunnel, hello, from } = joining;
    const session = new Session({
      ...this.#parts,
      tunnel,
      hello,
      from,
      onEnd: (ended, error) => this.#onEnd(ended, error),
    });
    this.#byId.set(session.id, session);
    if (hello.role === "serve") this.#serving.set(tunnel.id, session);
    await this.#assertNotRevoked(session);
    greet(session, joining, false);
    this.#parts.onJoin(session);
    return session;
  }

  /** Its token was good when it dialled; a removal since then met no session to end. From here on it meets this one. */
  async #assertNotRevoked(session: Session): Promise<void> {
    let error = new CodedError("REVOKED");
    try {
      if (await this.#parts.exists(session.tunnel.id) && !session.ended) return;
    } catch (cause) {
      error = toCodedError(cause);
    }
    await session.end(error);
    throw error;
  }

  #resume(joining: Joining): Session | null {
    const { hello, tunnel } = joining;
    if (hello.resume === undefined) return null;
    const session = this.#byId.get(hello.resume.session);
    if (session === undefined || session.tunnel.id !== tunnel.id || session.role !== hello.role) return null;
    if (!sameSecret(hello.resume.secret, session.secret)) return null;
    greet(session, joining, true);
    session.resume();
    return session;
  }

  /** Ends a `serve` session that the newcomer may replace. */
  async #makeRoom({ tunnel, hello }: Joining): Promise<void> {
    const holder = this.#serving.get(tunnel.id);
    if (holder === undefined) return;
    if (hello.instance !== holder.hello.instance && await this.#holds(holder, hello)) {
      throw new CodedError(
        "ALREADY_RUNNING",
        `This tunnel is already running on ${holder.hello.host} since ${holder.since.toISOString()}`,
      );
    }
    const taken = hello.instance !== holder.hello.instance;
    await holder.end(
      taken ? new CodedError("TAKEN_OVER", `The client on ${hello.host} took this tunnel over`) : replaced(),
      { final: taken },
    );
  }

  async #holds(holder: Session, hello: Hello): Promise<boolean> {
    if (hello.takeover === true || holder.control === null) return false;
    return await holder.control.isAlive(this.#limits.takeoverPingMs);
  }

  #assertFewUsing(tunnelId: string): void {
    const using = this.all.filter((session) => session.role === "use" && session.tunnel.id === tunnelId);
    if (using.length < MAX_USE_SESSIONS) return;
    throw new CodedError("TOO_MANY_SESSIONS", `This tunnel has ${MAX_USE_SESSIONS} commands running already`);
  }

  #onEnd(session: Session, error: CodedError): void {
    this.#byId.delete(session.id);
    if (this.#serving.get(session.tunnel.id) === session) this.#serving.delete(session.tunnel.id);
    this.#parts.onEnd(session, error);
  }
}

/** The welcome is on its way before anybody else can send on the channel. A failure is the reader's to see. */
function greet(session: Session, { control, welcome }: Joining, resumed: boolean): void {
  control.send(welcome(session, resumed)).catch(() => control.reset());
  session.attachControl(control);
}

function replaced(): CodedError {
  return new CodedError("SESSION_CLOSED", "The client came back on a new connection");
}

/** Compares in constant time; the lengths of our secrets are no secret. */
function sameSecret(given: string, right: string): boolean {
  const encoder = new TextEncoder();
  const a = encoder.encode(given.padEnd(64).slice(0, 64));
  const b = encoder.encode(right.padEnd(64).slice(0, 64));
  return timingSafeEqual(a, b) && right !== "" && given.length === right.length;
}
