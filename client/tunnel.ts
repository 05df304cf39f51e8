import type { Duplex } from "../net/duplex.ts";
import type { Destination } from "../protocol/destination.ts";
import type { CodedError } from "../protocol/errors.ts";
import type { RuleState, Welcome } from "../protocol/message.ts";
import type { RequestMethod, RequestParams, RequestResult } from "../protocol/request.ts";
import type { Door, DoorState } from "./doors/door.ts";
import type { ClientRule } from "./options.ts";

/** A running client. */
export interface Tunnel extends AsyncDisposable {
  readonly id: string;
  readonly name: string;
  /** The assigned hostname. */
  readonly hostname: string;
  readonly server: Welcome["server"];
  /** Publishes these rules and no others; resolves when the server has said what became of each. @throws {CodedError} TARGET_INVALID, RULE_INVALID, SESSION_CLOSED */
  setRules(rules: readonly ClientRule[]): Promise<readonly RuleState[]>;
  /**
   * Connects through the mesh to a service of another tunnel, or to a host that the server allows. Resolves when the connection is there;
   * the signal ends the attempt, not the connection. With either role.
   *
   * ```ts
   * const stream = await tunnel.connect(parseDestination("echo:7"));
   * await stream.write(new TextEncoder().encode("hello"));
   * await stream.closeWrite();
   * for (let bytes = await stream.read(); bytes !== null; bytes = await stream.read()) console.log(bytes);
   * ```
   *
   * @throws {CodedError} DESTINATION_UNKNOWN, DESTINATION_DENIED, DESTINATION_FORBIDDEN, MESH_DISABLED, TUNNEL_OFFLINE, the reason of the
   * target (TARGET_REFUSED), SERVER_UNREACHABLE while the client is not connected, SESSION_CLOSED
   */
  connect(destination: Destination, options?: { signal?: AbortSignal }): Promise<Duplex>;
  /**
   * Opens these doors and no others; resolves when it is known what became of each. One that was open before keeps its connections,
   * wherever it leads now; connections through one that is gone are cut. A door that cannot be opened hurts no other and is tried again.
   */
  setDoors(doors: readonly Door[]): Promise<readonly DoorState[]>;
  /** Asks the server for something. @throws {CodedError} its refusal, or SESSION_CLOSED */
  request<M extends RequestMethod>(method: M, params: RequestParams<M>): Promise<RequestResult<M>>;
  /** Settles when the client has ended: with the reason, or `undefined` after `stop()`. */
  readonly closed: Promise<CodedError | undefined>;
  /** Takes no new streams, lets running ones end for up to `graceMs` (default: 0), then cuts them. A second call with 0 cuts them at once. */
  stop(options?: { graceMs?: number }): Promise<void>;
}
