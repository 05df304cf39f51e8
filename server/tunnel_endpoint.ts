import { ControlChannel } from "../net/control_channel.ts";
import { type FetchHandler, type FetchUpgrade, serveFetch } from "../net/http/fetch_server.ts";
import type { Logger } from "../net/log.ts";
import { Running } from "../net/running.ts";
import type { TlsConnection } from "../net/tls_front.ts";
import { acceptUpgrade } from "../net/upgrade.ts";
import { CodedError, toCodedError } from "../protocol/errors.ts";
import { DOORS } from "../protocol/limits.ts";
import type { Authenticator } from "./authenticator.ts";
import { type ControlDial, ControlLoop, type ControlLoopParts } from "./control_loop.ts";
import type { ServerLimits } from "./limits.ts";
import type { Sessions } from "./sessions.ts";
import { parseBearer, refusal, tunnelApi } from "./tunnel_api.ts";

/** What the endpoint needs. */
export interface TunnelEndpointParts extends ControlLoopParts {
  sessions: Sessions;
  authenticator: Authenticator;
  limits: Readonly<ServerLimits>;
  log: Logger;
}

/** Larger bodies than a door ever needs are refused. */
const MAX_BODY_BYTES = 16 * 1024;

/** Where clients come in: enrolment, control channels and data channels. */
export class TunnelEndpoint {
  readonly #parts: TunnelEndpointParts;
  readonly #api: FetchHandler;
  readonly #running = new Running();
  readonly #ending = new AbortController();
  #draining = false;

  constructor(parts: TunnelEndpointParts) {
    this.#parts = parts;
    this.#api = tunnelApi(parts.state, parts.authenticator);
  }

  /** Takes a terminated TLS connection to the tunnel endpoint. */
  take(connection: TlsConnection): void {
    if (this.#ending.signal.aborted) return connection.duplex.reset();
    this.#track(this.#serve(connection), connection);
  }

  /** Takes no more sessions and no more enrolments. */
  drain(): void {
    this.#draining = true;
  }

  /** Resets every connection that belongs to no session, and settles when none is being dealt with. */
  async cut(): Promise<void> {
    this.#ending.abort();
    await this.#running.idle();
  }

  #track(work: Promise<void>, { duplex, peer }: TlsConnection): void {
    void this.#running.add(work.catch((error) => {
      duplex.reset(error);
      this.#parts.log.warn("tunnel connection cut", { from: peer.address, reason: String(error) });
    }));
  }

  async #serve(connection: TlsConnection): Promise<void> {
    const { limits, log } = this.#parts;
    const { address } = connection.peer;
    await serveFetch(connection.duplex, (...request) => this.#answer(...request), {
      proto: "https",
      address,
      log,
      maxBodyBytes: MAX_BODY_BYTES,
      headMs: limits.headMs,
      signal: this.#ending.signal,
      onUpgrade: async (upgrade) => {
        try {
          await this.#upgrade(upgrade, connection);
          return undefined;
        } catch (error) {
          // Once it has said 101 there is no other way to refuse it; before, the refusal is written.
          if (upgrade.taken) connection.duplex.reset(error);
          return refusal(toCodedError(error));
        }
      },
    });
  }

  #answer(...request: Parameters<FetchHandler>): ReturnType<FetchHandler> {
    return this.#draining ? refusal(new CodedError("SERVER_DRAINING")) : this.#api(...request);
  }

  /** Checks the credential, then upgrades: nothing is given to a connection that proved nothing. */
  #upgrade(upgrade: FetchUpgrade, connection: TlsConnection): Promise<void> {
    const url = new URL(upgrade.head.target, "https://endpoint");
    switch (url.pathname) {
      case DOORS.control:
        return this.#upgradeControl(upgrade, connection);
      case DOORS.data:
        return this.#upgradeData(upgrade, connection, url.searchParams.get("opener"));
      default:
        throw new CodedError("UPGRADE_REQUIRED", "There is no such door");
    }
  }

  async #upgradeControl(upgrade: FetchUpgrade, connection: TlsConnection): Promise<void> {
    const { authenticator } = this.#parts;
    const from = connection.peer.address;
    const tunnel = await authenticator.tunnel(parseBearer(upgrade.head.fields.get("authorization")), from);
    if (this.#draining) throw new CodedError("SERVER_DRAINING");
    const initial = await switchProtocols(upgrade);
    const control = new ControlChannel(upgrade.duplex, { client: false, secure: true, initial });
    this.#track(this.#control({ tunnel, control, from, admitted: connection.admitted }), connection);
  }

  async #control(dial: ControlDial): Promise<void> {
    const { signal } = this.#ending;
    const abort = (): void => dial.control.reset();
    signal.addEventListener("abort", abort, { once: true });
    try {
      await new ControlLoop(this.#parts, dial).run();
    } finally {
      signal.removeEventListener("abort", abort);
    }
  }

  async #upgradeData(upgrade: FetchUpgrade, connection: TlsConnection, opener: string | null): Promise<void> {
    const { sessions, authenticator } = this.#parts;
    const credential = parseBearer(upgrade.head.fields.get("authorization"));
    if (opener !== "server" && opener !== "client") {
      throw new CodedError("UPGRADE_REQUIRED", "Streams are opened by the server or by the client");
    }
    let session;
    try {
      session = sessions.authenticate(credential);
    } catch (error) {
      authenticator.noteFailure("session", connection.peer.address, toCodedError(error));
      throw error;
    }
    session.assertRoom();
    const initial = await switchProtocols(upgrade);
    connection.admitted[Symbol.dispose]();
    try {
      session.attachChannel(upgrade.duplex, initial, { secure: true, opener });
    } catch (error) {
      // The room was taken meanwhile; after the 101 a refusal in HTTP would be garbage.
      upgrade.duplex.reset(error);
    }
  }
}

async function switchProtocols(upgrade: FetchUpgrade): Promise<Uint8Array> {
  const answer = acceptUpgrade(upgrade);
  const initial = upgrade.take().slice();
  await upgrade.duplex.write(answer);
  return initial;
}
