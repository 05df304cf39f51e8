import { Deadline } from "../net/deadline.ts";
import { CodedError } from "../protocol/errors.ts";
import { encodeInvite } from "../protocol/invite.ts";
import { assemble, type ServerParts } from "./assemble.ts";
import type { MeshOptions } from "./mesh/access.ts";
import type { ProxyPort } from "./mesh/proxies/mesh_proxies.ts";
import type { ListenAddress, ServerOptions } from "./options.ts";
import type { CreateEnrolmentTokenOptions } from "./state/enrolment_tokens.ts";

/** How long running streams may go on after a stop was asked for. */
const DEFAULT_DRAIN_MS = 30_000;

/** A running server. */
export interface SpokesServer extends AsyncDisposable {
  /** Where it really listens. */
  readonly addresses:
    & { http: ListenAddress; tls: ListenAddress; admin?: ListenAddress }
    & Partial<Record<ProxyPort, ListenAddress>>;
  /** Settles when it has stopped. */
  readonly closed: Promise<void>;
  /** A new enrolment token as one line for `pktriot configure`. */
  invite(options?: CreateEnrolmentTokenOptions): Promise<string>;
  /**
   * What may be reached through the mesh, and by whom, from now on; streams that no longer may are ended. The ports of its proxies stay as
   * they were when the server started.
   * @throws {CodedError} CONFIG_INVALID, and nothing has changed
   */
  updateMesh(options: MeshOptions | false): void;
  /** Takes no new work, lets running streams end for up to `graceMs` (default: `drainMs`), then cuts them. A second call may shorten it. */
  stop(options?: { graceMs?: number }): Promise<void>;
}

/**
 * Starts a server. Resolves when every listener is open.
 * @throws {CodedError} LISTEN_FAILED, STATE_UNAVAILABLE, CERTIFICATE_INVALID, CONFIG_INVALID
 */
export async function serve(options: ServerOptions): Promise<SpokesServer> {
  const stack = new AsyncDisposableStack();
  try {
    return new Server(await assemble(options, stack), stack, options.drainMs ?? DEFAULT_DRAIN_MS);
  } catch (error) {
    await stack.disposeAsync();
    throw error;
  }
}

class Server implements SpokesServer {
  readonly addresses: SpokesServer["addresses"];
  readonly closed: Promise<void>;
  readonly #parts: ServerParts;
  readonly #stack: AsyncDisposableStack;
  readonly #drainMs: number;
  readonly #cut: PromiseWithResolvers<void> = Promise.withResolvers();
  readonly #onClosed: () => void;
  #stopping: Promise<void> | null = null;

  constructor(parts: ServerParts, stack: AsyncDisposableStack, drainMs: number) {
    this.#parts = parts;
    this.#stack = stack;
    this.#drainMs = drainMs;
    const { http, tls, admin, proxies } = parts;
    this.addresses = {
      ...{ http: http.address, tls: tls.address, ...proxies.addresses },
      ...(admin === null ? {} : { admin: admin.address }),
    };
    const { promise, resolve } = Promise.withResolvers<void>();
    this.closed = promise;
    this.#onClosed = resolve;
  }

  async invite(options: CreateEnrolmentTokenOptions = {}): Promise<string> {
    const { token } = await this.#parts.state.enrolmentTokens.create(options);
    return encodeInvite({ ...this.#parts.invitation, token });
  }

  updateMesh(options: MeshOptions | false): void {
    this.#parts.mesh.update(options);
  }

  stop(options: { graceMs?: number } = {}): Promise<void> {
    const graceMs = options.graceMs ?? this.#drainMs;
    if (graceMs === 0) this.#cut.resolve();
    this.#stopping ??= this.#stop(graceMs);
    return this.#stopping;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop({ graceMs: 0 });
  }

  /**
   * 1. `/readyz` says so, so that balancers look elsewhere. 2. No new visitor, session or stream. 3. Clients are told.
   * 4. What runs may end, up to the grace time. 5. Sessions end, so their streams are reset. 6. Listeners and store close.
   */
  async #stop(graceMs: number): Promise<void> {
    const { endpoint, httpEdge, tlsEdge, tcpEdge, mesh, proxies, sessions, http, tls, drain } = this.#parts;
    drain();
    for (const listener of [http, tcpEdge, proxies]) listener.stop();
    // The tunnel endpoint stays open for the channels of sessions whose streams still run.
    endpoint.drain();
    tlsEdge.drain();
    mesh.drain();
    for (const session of sessions.all) {
      session.incoming.drain();
      void session.send({ kind: "drain", graceMs });
    }
    httpEdge.drain();
    await this.#idleOr(graceMs);
    // What targets were sent last is still on its way to them.
    if (graceMs > 0) {
      await Promise.race([
        this.#cut.promise,
        Promise.all(sessions.all.flatMap(({ pool, incoming }) => [pool.retireAll(), incoming.retire()])),
      ]);
    }
    // Whoever still shakes hands would be handed on to an edge that has been cut.
    for (const listener of [tls, proxies]) await listener[Symbol.asyncDispose]();
    const error = new CodedError("SERVER_DRAINING");
    await Promise.all(sessions.all.map(async (session) => {
      await session.end(error);
      await session.goodbye;
    }));
    await Promise.all([...this.#edges.map(({ visits }) => visits.cut()), endpoint.cut()]);
    await this.#stack.disposeAsync();
    this.#onClosed();
  }

  async #idleOr(graceMs: number): Promise<void> {
    if (graceMs === 0) return;
    using _deadline = new Deadline(graceMs, () => this.#cut.resolve());
    const visits = this.#edges.map(({ visits }) => visits.idle());
    const streams = this.#parts.sessions.all.map(({ incoming }) => incoming.idle());
    await Promise.race([Promise.all([...visits, ...streams]), this.#cut.promise]);
  }

  get #edges() {
    const { httpEdge, tlsEdge, tcpEdge, mesh, proxies } = this.#parts;
    return [httpEdge, tlsEdge, tcpEdge, mesh, proxies];
  }
}
