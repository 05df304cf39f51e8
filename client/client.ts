import { backoffMs } from "../net/backoff.ts";
import type { ControlChannel } from "../net/control_channel.ts";
import { Deadline } from "../net/deadline.ts";
import { Drain } from "../net/drain.ts";
import type { Duplex } from "../net/duplex.ts";
import { type Logger, SILENT } from "../net/log.ts";
import { type Destination, toDestination } from "../protocol/destination.ts";
import { CodedError, errorFromWire, ProtocolError, toCodedError } from "../protocol/errors.ts";
import type {
  ControlMessage,
  ControlMessageOf,
  Hello,
  RuleState,
  UnknownMessage,
  Welcome,
} from "../protocol/message.ts";
import type { RequestMethod, RequestParams, RequestResult } from "../protocol/request.ts";
import { DesiredRules } from "./desired_rules.ts";
import { dialControl, greet } from "./dial_control.ts";
import type { Door, DoorState } from "./doors/door.ts";
import { Doors } from "./doors/doors.ts";
import { Heartbeat } from "./heartbeat.ts";
import { helloOf } from "./hello.ts";
import type { ClientEvent, ClientRule, ConnectOptions } from "./options.ts";
import { PendingRequests } from "./pending_requests.ts";
import { type ResolvedServerAddress, resolveServerAddress } from "./server_address.ts";
import { serveStream } from "./serve_stream.ts";
import { SessionChannels } from "./session_channels.ts";
import type { Tunnel } from "./tunnel.ts";
import { watchNetwork } from "./watch_network.ts";

export type { Tunnel } from "./tunnel.ts";

/** Without its control channel a session's streams live so long; the server has the same limit. */
const RESUME_MS = 15_000;
/** How often liveness is looked at: often enough for the shortest sensible heart beat. */
const SWEEP_MS = 250;
/** Refusals that no further attempt will change. */
const FINAL: ReadonlySet<string> = new Set([
  "TOKEN_INVALID",
  "TOKEN_EXPIRED",
  "REVOKED",
  "TAKEN_OVER",
  "ALREADY_RUNNING",
]);

/**
 * Connects a tunnel to its server and keeps it connected. Resolves when it is connected for the first time.
 * @throws {CodedError} a refusal (never tried again), or with `once` the first failure
 */
export async function connect(options: ConnectOptions): Promise<Tunnel> {
  const client = new Client(options);
  await client.start();
  return client;
}

class Client implements Tunnel {
  readonly closed: Promise<CodedError | undefined>;
  readonly #options: ConnectOptions;
  readonly #address: ResolvedServerAddress;
  readonly #log: Logger;
  readonly #rules: DesiredRules;
  readonly #doors: Doors;
  readonly #pending = new PendingRequests();
  readonly #instance = crypto.randomUUID();
  readonly #ending = new AbortController();
  readonly #connected = Promise.withResolvers<void>();
  /** Resolves when running streams are not waited for any longer. */
  readonly #cut = Promise.withResolvers<void>();
  readonly #onClosed: (error: CodedError | undefined) => void;
  #welcome: Welcome | null = null;
  #control: ControlChannel | null = null;
  #heartbeat: Heartbeat | null = null;
  #channels: SessionChannels | null = null;
  /** Begins when no new work is taken on the channels. */
  #draining = new Drain();
  #lostAt = 0;
  #takeover: boolean;
  #wake: () => void = () => {};
  #loop: Promise<void> = Promise.resolve();
  #stopping: Promise<void> | null = null;

  constructor(options: ConnectOptions) {
    this.#options = options;
    this.#address = resolveServerAddress(options);
    this.#log = options.logger ?? SILENT;
    this.#takeover = options.takeover === true;
    // Before anything is dialled: a mistake in a rule is the caller's to know at once.
    this.#rules = new DesiredRules({
      ...{ rules: options.rules ?? [], acme: options.acme, log: this.#log },
      send: (message) => this.#sendRules(message),
      onEvent: (event) => this.#emit(event),
    });
    this.#doors = new Doors({
      connect: (destination, { signal }) => this.connect(destination, { signal }),
      onStates: (states) => this.#emit({ kind: "doors", states }),
      onNotice: (notice) => this.#emit({ kind: "notice", ...notice }),
      log: this.#log,
    });
    const { promise, resolve } = Promise.withResolvers<CodedError | undefined>();
    this.closed = promise;
    this.#onClosed = resolve;
  }

  get id(): string {
    return this.#facts.tunnel.id;
  }

  get name(): string {
    return this.#facts.tunnel.name;
  }

  get hostname(): string {
    return this.#facts.tunnel.hostname;
  }

  get server(): Welcome["server"] {
    return this.#facts.server;
  }

  async start(): Promise<void> {
    const { signal } = this.#options;
    signal?.throwIfAborted();
    const abort = (): void => void this.stop({ graceMs: 0 });
    signal?.addEventListener("abort", abort, { once: true });
    this.#loop = this.#run().finally(() => signal?.removeEventListener("abort", abort));
    await Promise.race([
      this.#connected.promise,
      this.closed.then((error) => {
        throw error ?? new CodedError("SESSION_CLOSED", "The client was stopped");
      }),
    ]);
  }

  async setRules(rules: readonly ClientRule[]): Promise<readonly RuleState[]> {
    return await Promise.race([this.#rules.set(rules, this.hostname), this.#whenClosed()]);
  }

  setDoors(doors: readonly Door[]): Promise<readonly DoorState[]> {
    return this.#doors.set(doors);
  }

  async connect(destination: Destination, options: { signal?: AbortSignal } = {}): Promise<Duplex> {
    const { host, port } = destination;
    if (this.#stopping !== null) throw new CodedError("SESSION_CLOSED", "The client was stopped");
    if (this.#control === null || this.#channels === null) {
      throw new CodedError("SERVER_UNREACHABLE", "The client is not connected to the server");
    }
    return await this.#channels.connect(toDestination(host, port), options);
  }

  async request<M extends RequestMethod>(method: M, params: RequestParams<M>): Promise<RequestResult<M>> {
    const control = this.#control;
    if (control === null) throw new CodedError("SESSION_CLOSED", "The client is not connected to the server");
    return await this.#pending.ask(method, params, (message) => control.send(message));
  }

  stop({ graceMs = 0 }: { graceMs?: number } = {}): Promise<void> {
    if (graceMs === 0) this.#cut.resolve();
    this.#stopping ??= this.#stop(graceMs);
    return this.#stopping;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }

  get #facts(): Welcome {
    if (this.#welcome === null) throw new Error("Cannot tell facts of the tunnel as it was never connected");
    return this.#welcome;
  }

  async #whenClosed(): Promise<never> {
    throw await this.closed ?? new CodedError("SESSION_CLOSED", "The client was stopped");
  }

  /** 1. no new work comes, 2. running streams may end, 3. the server is told, 4. everything is cut. */
  async #stop(graceMs: number): Promise<void> {
    if (graceMs > 0) {
      this.#doors.stop();
      this.#draining.begin();
      await this.#control?.send({ kind: "drain", graceMs }).catch(() => {
        // The server will see the connection end.
      });
      await this.#drained(graceMs);
    }
    await this.#control?.send({ kind: "bye", code: "E3015", message: "The client has stopped", final: true }).catch(
      () => {
        // The server will see the connection end.
      },
    );
    this.#ending.abort();
    this.#wake();
    await this.#control?.close();
    await this.#loop;
  }

  async #drained(graceMs: number): Promise<void> {
    using _deadline = new Deadline(graceMs, () => this.#cut.resolve());
    await Promise.race([this.#cut.promise, this.#channels?.idle()]);
    await Promise.race([this.#cut.promise, this.#channels?.retire()]);
  }

  /** Connects, and connects again, until it is stopped or refused. */
  async #run(): Promise<void> {
    using _network = watchNetwork((reason) => this.#onNetworkChange(reason));
    using sweeper = every(SWEEP_MS, () => this.#sweep());
    void sweeper;
    const watching = this.#options.role === "use" ? undefined : this.#rules.watch(this.#ending.signal);
    let error: CodedError | undefined;
    for (let attempt = 0; !this.#ending.signal.aborted; attempt++) {
      error = await this.#session(attempt, () => attempt = -1);
      if (this.#ending.signal.aborted) break;
      if (this.#isFinal(error)) break;
      const waitMs = backoffMs(Math.max(0, attempt));
      this.#emit({ kind: "disconnected", error, retryInMs: waitMs });
      this.#log.warn("disconnected", { code: error.code, reason: error.message, retryInMs: Math.round(waitMs) });
      await this.#sleep(waitMs);
    }
    const stopped = this.#ending.signal.aborted;
    this.#ending.abort();
    await Promise.all([this.#channels?.end(), this.#doors[Symbol.asyncDispose](), watching]);
    await this.#rules[Symbol.asyncDispose]();
    this.#pending.fail(new CodedError("SESSION_CLOSED"));
    this.#onClosed(stopped ? undefined : error);
  }

  #isFinal(error: CodedError): boolean {
    if (FINAL.has(error.kind)) return true;
    return (this.#options.once ?? this.#options.role === "use") === true;
  }

  /** One control channel, from the dial to its end; gives the reason of the end. */
  async #session(attempt: number, onConnected: () => void): Promise<CodedError> {
    let control: ControlChannel | null = null;
    try {
      this.#emit({ kind: "connecting", attempt: Math.max(0, attempt) });
      control = await dialControl(this.#address, { token: this.#options.token, signal: this.#ending.signal });
      const welcome = await greet(control, { hello: this.#hello(), signal: this.#ending.signal });
      onConnected();
      await this.#begin(control, welcome);
      return await this.#serve(control);
    } catch (error) {
      return toCodedError(error, "SERVER_UNREACHABLE");
    } finally {
      // Attempts that never got that far do not prolong what is left of the session.
      if (this.#control !== null) this.#lostAt = performance.now();
      this.#control = this.#heartbeat = null;
      control?.reset();
    }
  }

  #hello(): Hello {
    const resumable = this.#welcome !== null && performance.now() - this.#lostAt < RESUME_MS;
    return helloOf({
      ...{ instance: this.#instance, role: this.#options.role ?? "serve", takeover: this.#takeover },
      resume: resumable ? this.#welcome : null,
    });
  }

  /** A resumed session keeps its channels; a new one starts with none. */
  async #begin(control: ControlChannel, welcome: Welcome): Promise<void> {
    const isFirst = this.#welcome === null;
    this.#control = control;
    this.#heartbeat = new Heartbeat(control, welcome.heartbeatMs);
    this.#welcome = welcome;
    // It has served its purpose: after a loss of connection we must not take over from somebody who took over from us.
    this.#takeover = false;
    if (welcome.resumed && this.#channels !== null) {
      this.#channels.pingAll();
    } else {
      await this.#channels?.end();
      this.#channels = this.#openChannels(welcome);
    }
    this.#log.info("connected", {
      tunnel: welcome.tunnel.id,
      hostname: welcome.tunnel.hostname,
      resumed: welcome.resumed,
    });
    this.#emit({ kind: "connected", welcome });
    // Not before the server has taken us: a second client on this machine would take ports from the one that runs.
    if (isFirst) void this.#doors.set(this.#options.doors ?? []);
    if (this.#options.role !== "use") await this.#rules.publish(welcome.tunnel.hostname);
    this.#connected.resolve();
  }

  #openChannels(welcome: Welcome): SessionChannels {
    const draining = this.#draining = new Drain();
    const options = { resolver: this.#rules.resolver, log: this.#log, draining };
    return new SessionChannels({
      address: this.#address,
      credential: `${welcome.session}.${welcome.secret}`,
      onStream: (stream, open) => serveStream(stream, open, options),
      keepIdle: () => this.#doors.isAnyOpen,
      log: this.#log,
    });
  }

  async #serve(control: ControlChannel): Promise<CodedError> {
    for (let message = await control.receive(); message !== null; message = await control.receive()) {
      const bye = this.#handle(message);
      if (bye === null) continue;
      await this.#channels?.end();
      this.#channels = null;
      return bye;
    }
    return new CodedError("SESSION_CLOSED", "The connection to the server was lost");
  }

  /** Gives the reason when the message ends the session. */
  #handle(message: ControlMessage | UnknownMessage): CodedError | null {
    switch (message.kind) {
      case "rules.applied":
        this.#emit({ kind: "rules", states: message.rules });
        this.#rules.onApplied(message.revision, message.rules);
        return null;
      case "response":
        this.#pending.answer(message);
        return null;
      case "pool":
        this.#channels?.open(message.count);
        return null;
      case "notice":
        this.#emit(message);
        return null;
      case "drain":
        this.#draining.begin();
        this.#emit({ kind: "draining", graceMs: message.graceMs });
        return null;
      case "bye": {
        const error = errorFromWire(message.code, message.message, "SESSION_CLOSED");
        return message.final && !FINAL.has(error.kind) ? new CodedError("REVOKED", message.message) : error;
      }
      case "unknown":
        this.#log.debug("unknown control message", { kind: message.name });
        return null;
      case "request":
        return null; // Nothing is asked of a client yet.
      case "hello":
      case "welcome":
      case "rules":
        throw new ProtocolError(`Cannot take "${message.kind}" from the server`);
      default:
        return message satisfies never;
    }
  }

  #sendRules(message: ControlMessageOf<"rules">): void {
    this.#control?.send(message).catch(() => {
      // Sent again when the connection is back.
    });
  }

  #sweep(): void {
    const now = performance.now();
    this.#channels?.sweep(now);
    if (this.#heartbeat !== null) return this.#heartbeat.sweep(now);
    if (this.#channels !== null && now - this.#lostAt > RESUME_MS) void this.#channels.end();
  }

  /** What is connected may be dead, so it is asked; what waits to try again need not wait. */
  #onNetworkChange(reason: "network" | "sleep"): void {
    this.#log.info("network changed", { reason });
    this.#wake();
    this.#heartbeat?.ask();
  }

  async #sleep(ms: number): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#wake = resolve;
    const timer = setTimeout(resolve, ms);
    await promise;
    clearTimeout(timer);
  }

  #emit(event: ClientEvent): void {
    this.#options.onEvent?.(event);
  }
}

function every(ms: number, action: () => void): Disposable {
  const timer = setInterval(action, ms);
  return { [Symbol.dispose]: () => clearInterval(timer) };
}
