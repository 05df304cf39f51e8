import type { Logger } from "../net/log.ts";
import { type CodedError, toCodedError } from "../protocol/errors.ts";
import type { Metrics } from "./metrics.ts";
import { Penalties } from "../net/penalties.ts";
import type { ServerState } from "./state/server_state.ts";
import type { IssuedTunnel, Tunnel } from "./state/tunnels.ts";

/** The errors that mean "this credential is wrong", as opposed to "not now". */
const WRONG: ReadonlySet<string> = new Set(["TOKEN_INVALID", "TOKEN_EXPIRED", "TOKEN_USED"]);

/** The one place where credentials are checked: counts, logs and penalises the wrong ones. */
export class Authenticator {
  readonly #state: ServerState;
  readonly #metrics: Metrics;
  readonly #log: Logger;
  readonly #penalties: Penalties = new Penalties();

  constructor(parts: { state: ServerState; metrics: Metrics; log: Logger }) {
    this.#state = parts.state;
    this.#metrics = parts.metrics;
    this.#log = parts.log;
  }

  /** The tunnel that a tunnel token proves. @throws {CodedError} TOKEN_INVALID, TOO_MANY_ATTEMPTS */
  tunnel(token: string, from: string): Promise<Tunnel> {
    return this.#check("tunnel", from, () => this.#state.tunnels.authenticate(token));
  }

  /** A new tunnel for an enrolment token. @throws {CodedError} TOKEN_INVALID, TOKEN_EXPIRED, TOKEN_USED, TOO_MANY_ATTEMPTS */
  enrol(token: string, options: { name?: string; from: string }): Promise<IssuedTunnel> {
    const { name, from } = options;
    return this.#check("enrolment", from, () => this.#state.enrol(token, name === undefined ? {} : { name }));
  }

  /** Whatever `verify` gives, unless the address has to wait. */
  async #check<T>(credential: string, from: string, verify: () => Promise<T>): Promise<T> {
    try {
      this.#penalties.assertNone(from);
      return await verify();
    } catch (error) {
      this.noteFailure(credential, from, toCodedError(error));
      throw error;
    }
  }

  /** Notes that a credential was refused; one that was wrong has its price. */
  noteFailure(credential: string, from: string, error: CodedError): void {
    this.#metrics.countRefusal(error.kind);
    if (!WRONG.has(error.kind)) return;
    this.#metrics.authFailures++;
    this.#penalties.add(from);
    this.#log.warn("credential refused", { credential, from, code: error.code });
  }
}
