import type { Duplex } from "../../net/duplex.ts";
import { CodedError, StreamResetError } from "../../protocol/errors.ts";
import { identityKey, type MeshIdentity, type MeshTunnel } from "./identity.ts";

type TunnelIdentity = Extract<MeshIdentity, { kind: "tunnel" }>;

/** Throws the reason why an identity may not, or no longer, go where its stream goes. */
export type Judge = (identity: MeshIdentity) => void;

/** One stream through the mesh, from the moment that it is asked for. */
export class RunningStream {
  /** What must hold as long as it runs; set when it is known where the stream goes. */
  judge: Judge = () => {};
  identity: MeshIdentity;
  readonly #cut = new AbortController();
  #duplex: Duplex | undefined;

  constructor(identity: MeshIdentity) {
    this.identity = identity;
  }

  /** Aborted with the reason when the stream is cut. */
  get signal(): AbortSignal {
    return this.#cut.signal;
  }

  /** It is open, if it still may be. @throws the reason when it was cut meanwhile; then the connection is reset */
  carry(duplex: Duplex): void {
    this.#duplex = duplex;
    this.check();
    if (!this.signal.aborted) return;
    duplex.reset(this.signal.reason);
    throw this.signal.reason;
  }

  /** Ends it, whether it is open or yet to be opened. */
  cut(error: CodedError): void {
    this.#cut.abort(error);
    this.#duplex?.reset(error);
  }

  /** Ends it unless it is still allowed. */
  check(): void {
    try {
      this.judge(this.identity);
    } catch (error) {
      this.cut(error instanceof CodedError ? error : new StreamResetError(undefined, { cause: error }));
    }
  }
}

/** All streams through the mesh that are under way. */
export class RunningStreams {
  readonly #running = new Set<RunningStream>();
  readonly #counts = new Map<string, number>();
  readonly #limitOf: (identity: MeshIdentity) => number;

  /** `limitOf` says how many streams one identity may have at once. */
  constructor(limitOf: (identity: MeshIdentity) => number) {
    this.#limitOf = limitOf;
  }

  get count(): number {
    return this.#running.size;
  }

  /** Begins a stream, which is here until `end`. @throws {CodedError} LIMIT_EXCEEDED */
  begin(identity: MeshIdentity): RunningStream {
    const key = identityKey(identity);
    const count = this.#counts.get(key) ?? 0;
    const limit = this.#limitOf(identity);
    if (count >= limit) throw new CodedError("LIMIT_EXCEEDED", `There are ${limit} streams through the mesh already`);
    this.#counts.set(key, count + 1);
    const stream = new RunningStream(identity);
    this.#running.add(stream);
    return stream;
  }

  /** The stream is over. Idempotent. */
  end(stream: RunningStream): void {
    if (!this.#running.delete(stream)) return;
    const key = identityKey(stream.identity);
    const count = (this.#counts.get(key) ?? 1) - 1;
    if (count > 0) this.#counts.set(key, count);
    else this.#counts.delete(key);
  }

  /** What is allowed has changed: ends the streams that are not any more. */
  check(): void {
    for (const stream of [...this.#running]) stream.check();
  }

  /** A tunnel is not what it was. */
  update(tunnel: MeshTunnel): void {
    for (const stream of this.#running) {
      const { identity } = stream;
      if (identity.kind === "tunnel" && identity.tunnel.id === tunnel.id) stream.identity = { ...identity, tunnel };
    }
  }

  /** Ends the streams of tunnels that match. */
  cut(error: CodedError, matches: (identity: TunnelIdentity) => boolean): void {
    for (const stream of [...this.#running]) {
      const { identity } = stream;
      if (identity.kind === "tunnel" && matches(identity)) stream.cut(error);
    }
  }
}
