import { Deadline } from "../../net/deadline.ts";
import type { Duplex } from "../../net/duplex.ts";
import type { Logger } from "../../net/log.ts";
import { type Destination, formatDestination, toDestination } from "../../protocol/destination.ts";
import { CodedError } from "../../protocol/errors.ts";
import type { RequestResult } from "../../protocol/request.ts";
import { RunningVisits } from "../edge/running_visits.ts";
import type { ServerLimits } from "../limits.ts";
import type { PublishedRule } from "../published_rule.ts";
import type { Router } from "../router.ts";
import { Access, type MeshOptions } from "./access.ts";
import { openExternal } from "./egress.ts";
import type { MeshIdentity, MeshTunnel } from "./identity.ts";
import { listServices } from "./list_services.ts";
import { createLookUp, type LookUp } from "./look_up.ts";
import type { MeshEdge } from "../edge/mesh_visit.ts";
import { openHttpRule } from "./open_http_rule.ts";
import { mostLikelyFirst, openService } from "./open_service.ts";
import { openTcpRule } from "./open_tcp_rule.ts";
import type { OwnAddresses } from "./own_addresses.ts";
import type { RuleAsked } from "./policy_target.ts";
import { HTTPS_PORT, type Resolved, resolveDestination } from "./resolve_destination.ts";
import { type RunningStream, RunningStreams } from "./running_streams.ts";
import type { Services } from "./services.ts";

/** What the mesh works with. */
export interface MeshParts {
  readonly services: Services;
  readonly router: Router;
  /** They take the streams to HTTP rules. */
  readonly edges: { readonly http: MeshEdge; readonly tls: MeshEdge };
  readonly own: OwnAddresses;
  readonly limits: Readonly<Pick<ServerLimits, "streamsPerSession" | "visitorsPerAddress">>;
  readonly log: Logger;
  /** @default made of the resolvers of the options */
  readonly lookUp?: LookUp;
  /** How long one tunnel of several has to open a stream. @default 1.5 s */
  readonly patienceMs?: number;
}

/** A stream that was opened through the mesh. */
export interface MeshConnection {
  readonly duplex: Duplex;
  /** Aborted with the reason when the mesh ends it: it may no longer go there, or its rule is gone. */
  readonly cut: AbortSignal;
  /** Where it leads, for logs: `tcp/22123 of HOSTNAME`, or the address of a host outside. */
  readonly to: string;
}

type Opened = Omit<MeshConnection, "cut">;
type AskedRule = RuleAsked & Required<Pick<RuleAsked, "host" | "secure">>;

/** Until a stream is open: less than its opener waits for the answer. */
const OPEN_TIMEOUT_MS = 28_000;
/** The mesh: resolves what clients and proxies ask for, decides whether they may, and opens it. */
export class Mesh {
  readonly visits = new RunningVisits();
  readonly #parts: MeshParts;
  readonly #running: RunningStreams;
  #now: { readonly access: Access; readonly lookUp: LookUp; readonly connect: boolean } | null = null;
  #draining = false;

  /** `false` is a server without a mesh. @throws {CodedError} CONFIG_INVALID */
  constructor(parts: MeshParts, options: MeshOptions | false) {
    this.#parts = parts;
    this.#running = new RunningStreams(({ kind }) =>
      kind === "tunnel" ? parts.limits.streamsPerSession : parts.limits.visitorsPerAddress
    );
    this.update(options);
  }

  /** Streams under way, those included that are being opened. */
  get streams(): number {
    return this.#running.count;
  }

  /** Whether CONNECT on the public HTTP port is for the mesh. */
  get takesConnect(): boolean {
    return this.#now?.connect === true;
  }

  /** Whether the policy grants anything to those without credentials. */
  get admitsAnonymous(): boolean {
    return this.#now?.access.policy.admitsAnonymous === true;
  }

  /** What decides now. @throws {CodedError} MESH_DISABLED */
  get access(): Access {
    if (this.#now === null) throw new CodedError("MESH_DISABLED");
    return this.#now.access;
  }

  /**
   * What may be reached, and by whom, from now on; ends the running streams that no longer may.
   * @throws {CodedError} CONFIG_INVALID, and nothing has changed
   */
  update(options: MeshOptions | false): void {
    this.#now = options === false ? null : {
      access: new Access(this.#parts, options),
      lookUp: this.#parts.lookUp ?? createLookUp(options.resolvers ?? []),
      connect: options.connect === true,
    };
    this.#running.check();
  }

  /** Where a destination leads. @throws {CodedError} MESH_DISABLED, DESTINATION_INVALID, DESTINATION_UNKNOWN */
  resolve({ host, port }: Destination): Resolved {
    const { allow } = this.access;
    return resolveDestination(toDestination(host, port), { ...this.#parts, allow });
  }

  /**
   * Opens a stream to a destination, with the reason in an error when it cannot be. It is open when its target was reached; only of an HTTP
   * rule it is the answers that say so.
   * @throws {CodedError} MESH_DISABLED, DESTINATION_INVALID, DESTINATION_UNKNOWN, DESTINATION_DENIED, DESTINATION_FORBIDDEN, LIMIT_EXCEEDED,
   * SERVER_DRAINING, TUNNEL_OFFLINE, TUNNEL_BUSY, and what says why a target cannot be reached
   */
  async open(
    identity: MeshIdentity,
    destination: Destination,
    { signal }: { signal: AbortSignal },
  ): Promise<MeshConnection> {
    if (this.#draining) throw new CodedError("SERVER_DRAINING");
    const resolved = this.resolve(destination);
    const stream = this.#running.begin(identity);
    const onGone = (): void => stream.cut(new CodedError("STREAM_RESET", "The stream is not wanted any more"));
    signal.addEventListener("abort", onGone, { once: true });
    using _deadline = new Deadline(OPEN_TIMEOUT_MS, () => stream.cut(tooSlow(resolved.destination)));
    try {
      if (signal.aborted) onGone();
      stream.signal.throwIfAborted();
      const { duplex, to } = await this.#open(stream, resolved);
      stream.carry(duplex);
      this.visits.track(duplex, duplex.closed.then(() => this.#running.end(stream)));
      return { duplex, to, cut: stream.signal };
    } catch (error) {
      this.#running.end(stream);
      throw stream.signal.aborted ? stream.signal.reason : error;
    } finally {
      signal.removeEventListener("abort", onGone);
    }
  }

  /** What somebody may reach now. @throws {CodedError} MESH_DISABLED */
  services(identity: MeshIdentity): RequestResult<"service.list"> {
    return listServices(identity, { access: this.access, rules: this.#parts.services.all });
  }

  /**
   * Whether somebody may go to a destination now, as far as can be said without connecting: a name outside is not looked up.
   * @throws {CodedError} MESH_DISABLED, DESTINATION_INVALID, DESTINATION_UNKNOWN, DESTINATION_DENIED, DESTINATION_FORBIDDEN
   */
  check(identity: MeshIdentity, asked: Destination): void {
    const resolved = this.resolve(asked);
    const { destination } = resolved;
    if (resolved.kind === "external") this.access.judgeExternal(identity, destination);
    else this.access.allowedOf(identity, resolved.rules, askedOf(destination));
  }

  /** What rules are has changed: ends the running streams that are not allowed any more. */
  recheck(): void {
    this.#running.check();
  }

  /** A tunnel has another owner or other tags. */
  updateTunnel(tunnel: MeshTunnel): void {
    this.#running.update(tunnel);
    this.#running.check();
  }

  /** A tunnel was removed: so are the streams that it, or its one-shots, opened. */
  endTunnel(id: string, error: CodedError): void {
    this.#running.cut(error, ({ tunnel }) => tunnel.id === id || tunnel.parent === id);
  }

  /** Opens no more. */
  drain(): void {
    this.#draining = true;
  }

  #open(stream: RunningStream, resolved: Resolved): Promise<Opened> {
    return resolved.kind === "external"
      ? this.#openExternal(stream, resolved.destination)
      : this.#openOneOf(stream, resolved.rules, resolved.destination);
  }

  async #openExternal(stream: RunningStream, destination: Destination): Promise<Opened> {
    const lookUp = this.#now?.lookUp;
    // Before anything is looked up: who may not go there learns nothing about it.
    stream.judge = (identity) => this.access.judgeExternal(identity, destination);
    stream.judge(stream.identity);
    if (lookUp === undefined) throw new CodedError("MESH_DISABLED");
    await this.#parts.own.refresh();
    const { duplex, address } = await openExternal(destination, {
      lookUp,
      signal: stream.signal,
      judge: (each) => this.access.judgeExternal(stream.identity, destination, each),
    });
    stream.judge = (identity) => this.access.judgeExternal(identity, destination, address);
    return { duplex, to: formatDestination({ host: address, port: destination.port }) };
  }

  async #openOneOf(
    stream: RunningStream,
    rules: readonly PublishedRule[],
    destination: Destination,
  ): Promise<Opened> {
    const asked = askedOf(destination);
    const allowed = this.access.allowedOf(stream.identity, rules, asked);
    const [first, ...others] = mostLikelyFirst(allowed);
    if (first === undefined) throw new CodedError("DESTINATION_UNKNOWN");
    if (first.rule.kind === "http" || others.length === 0) {
      stream.judge = (identity) => this.access.judgeRule(identity, first, asked);
      return { duplex: await this.#openRule(stream, first, asked), to: describe(first) };
    }
    // Whichever it will be: as long as that is open, one of them must be allowed.
    stream.judge = (identity) => void this.access.allowedOf(identity, allowed, asked);
    const { duplex, rule } = await openService(stream, [first, ...others], this.#parts);
    stream.judge = (identity) => this.access.judgeRule(identity, rule, asked);
    return { duplex, to: describe(rule) };
  }

  #openRule(stream: RunningStream, rule: PublishedRule, asked: AskedRule): Promise<Duplex> | Duplex {
    if (rule.rule.kind === "tcp") return openTcpRule(stream, rule);
    return openHttpRule(stream, rule, { ...this.#parts, asked, access: () => this.access });
  }
}

function askedOf({ host, port }: Destination): AskedRule {
  return { host, port, secure: port === HTTPS_PORT };
}

function describe({ id, session }: PublishedRule): string {
  return `${id} of ${session.tunnel.hostname}`;
}

function tooSlow(destination: Destination): CodedError {
  return new CodedError("TARGET_TIMEOUT", `${formatDestination(destination)} did not answer in time`);
}
