import type { Socket } from "node:net";
import { BasicAuth } from "../../net/http/proxy/basic_auth.ts";
import { listen } from "../../net/listen.ts";
import { listenUnix } from "../../net/listen_unix.ts";
import type { Logger } from "../../net/log.ts";
import { SocketDuplex } from "../../net/socket_duplex.ts";
import { CodedError, toCodedError } from "../../protocol/errors.ts";
import {
  assertSafe,
  describeDoor,
  type Door,
  type DoorAddress,
  doorId,
  type DoorState,
  formatDoorAddress,
} from "./door.ts";
import { type MeshConnect, serveVisitor } from "./serve_visitor.ts";

/** Connections through one door at once. */
const MAX_VISITORS = 1_024;
/** The same failure of one door is told to the person once in this time. */
const TELL_AGAIN_MS = 60_000;

/** What a door needs. */
export interface DoorParts {
  readonly connect: MeshConnect;
  /** Told of connections that failed, for the person at the client. */
  readonly onNotice: (notice: { level: "warn"; code: string; message: string }) => void;
  readonly log: Logger;
}

/** A listener that is open. */
interface Open extends AsyncDisposable {
  stop(): void;
  readonly address: string;
}

/** One door: its listener, and who came through it. */
export class DoorListener implements AsyncDisposable {
  readonly #parts: DoorParts;
  readonly #visitors = new Map<SocketDuplex, Promise<void>>();
  readonly #told = new Map<string, number>();
  #door: Door;
  #auth: BasicAuth | undefined;
  #open: Open | null = null;
  #failure: CodedError | null = null;

  constructor(door: Door, parts: DoorParts) {
    this.#parts = parts;
    this.#door = door;
  }

  /** What became of it. */
  get state(): DoorState {
    const id = doorId(this.#door);
    const address = this.#open?.address ?? formatDoorAddress(this.#door.listen);
    if (this.#failure === null) return { id, state: "open", address };
    return { id, state: "failed", address, code: this.#failure.code, message: this.#failure.message };
  }

  /** Whether it lets visitors in. */
  get isOpen(): boolean {
    return this.#failure === null && this.#open !== null;
  }

  /** Whether another attempt may open it: a port may become free, but no description gets better by itself. */
  get mayOpenLater(): boolean {
    return this.#failure?.kind === "LISTEN_FAILED";
  }

  /** The door leads elsewhere, or lets in others: for those who come from now on. Listens if it does not yet. Never rejects. */
  async set(door: Door): Promise<void> {
    this.#door = door;
    try {
      assertSafe(door);
      this.#auth = door.kind === "map" || door.auth === undefined ? undefined : compileAuth(door.auth);
      this.#open ??= await this.#listen(door.listen);
      this.#failure = null;
    } catch (error) {
      // A door whose description is wrong now lets nobody in by what it said before.
      this.stop();
      this.#open = null;
      const { kind, message } = toCodedError(error);
      this.#failure = new CodedError(kind, `Cannot open the ${describeDoor(door)}: ${message}`, { cause: error });
    }
  }

  /** Tries again. Never rejects. */
  retry(): Promise<void> {
    return this.set(this.#door);
  }

  /** Lets nobody in any more; those who came through go on. */
  stop(): void {
    this.#open?.stop();
  }

  /** Closes it, and cuts whoever came through. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#open?.[Symbol.asyncDispose]();
    for (const visitor of this.#visitors.keys()) visitor.reset();
    await Promise.all(this.#visitors.values());
  }

  async #listen(address: DoorAddress): Promise<Open> {
    if ("unix" in address) {
      const bound = await listenUnix(address.unix, (socket) => this.#take(socket, "unix"));
      return asOpen(bound, formatDoorAddress(address));
    }
    const hostname = address.hostname === "localhost" ? "127.0.0.1" : address.hostname;
    const bound = await listen({ ...address, hostname }, (socket, peer) => this.#take(socket, peer.address));
    return asOpen(bound, formatDoorAddress(bound.address));
  }

  #take(socket: Socket, from: string): void {
    const visitor = SocketDuplex.plain(socket);
    if (this.#visitors.size >= MAX_VISITORS) {
      visitor.reset();
      return void this.#tell(new CodedError("TOO_MANY_CONNECTIONS", `${MAX_VISITORS} connections are open already`));
    }
    const served = this.#serve(visitor, from).finally(() => this.#visitors.delete(visitor));
    this.#visitors.set(visitor, served);
  }

  async #serve(visitor: SocketDuplex, from: string): Promise<void> {
    const door = this.#door;
    const { connect, log } = this.#parts;
    const facts = { door: doorId(door), visitor: from };
    let isTold = false;
    const onRefused = (error: CodedError): void => void (isTold = this.#tell(error));
    try {
      await serveVisitor(visitor, { door, auth: this.#auth, from, connect, onRefused });
      log.debug("door left", facts);
    } catch (error) {
      const { kind, code, message } = toCodedError(error);
      visitor.reset(error);
      log[kind === "STREAM_RESET" || isTold ? "debug" : "info"]("door visitor cut", {
        ...facts,
        code,
        reason: message,
      });
    }
  }

  /** Tells the person, not more often than anybody reads; says whether it did. */
  #tell({ code, message }: CodedError): boolean {
    const now = performance.now();
    if (now - (this.#told.get(code) ?? -Infinity) < TELL_AGAIN_MS) return false;
    this.#told.set(code, now);
    this.#parts.onNotice({ level: "warn", code, message: `${describeDoor(this.#door)}: ${message}` });
    return true;
  }
}

/** @throws {CodedError} DOOR_INVALID */
function compileAuth({ user, passwordHash }: { user: string; passwordHash: string }): BasicAuth {
  try {
    return new BasicAuth([{ user, hash: passwordHash }]);
  } catch (cause) {
    throw new CodedError("DOOR_INVALID", toCodedError(cause).message, { cause });
  }
}

function asOpen(bound: AsyncDisposable & { stop(): void }, address: string): Open {
  return { address, stop: () => bound.stop(), [Symbol.asyncDispose]: () => bound[Symbol.asyncDispose]() };
}
