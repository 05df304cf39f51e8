import type { LogFields, Logger } from "../net/log.ts";
import { type CodedError, toCodedError } from "../protocol/errors.ts";
import type { Metrics } from "./metrics.ts";
import type { Session } from "./session.ts";
import type { Sessions } from "./sessions.ts";
import type { ServerState } from "./state/server_state.ts";

/** What {@link SessionNotes} writes to. */
export interface SessionNotesParts {
  state: ServerState;
  metrics: Metrics;
  log: Logger;
}

/** Writes down who comes and goes: in the log, and in the state, where `spokes tunnel ls` sees it. Never rejects. */
export class SessionNotes {
  readonly #parts: SessionNotesParts;

  constructor(parts: SessionNotesParts) {
    this.#parts = parts;
  }

  /** A session began. */
  joined({ tunnel, role, from }: Session): void {
    this.#say(role, "tunnel connected", { tunnel: tunnel.id, hostname: tunnel.hostname, role, from });
    void this.#note(tunnel.id, { from });
  }

  /** A session ended; `live` when the tunnel has others. */
  ended({ tunnel, role, from }: Session, error: CodedError, live: boolean): void {
    const { metrics } = this.#parts;
    // Most sessions are short commands that have done their work.
    if (error.kind !== "SESSION_CLOSED") metrics.countRefusal(error.kind);
    this.#say(role, "tunnel disconnected", {
      ...{ tunnel: tunnel.id, hostname: tunnel.hostname, role },
      ...{ code: error.code, reason: error.message },
    });
    if (!live) void this.#note(tunnel.id, { from, ended: true });
  }

  /** Ownership of one-shots, and of service names, ends some time after the last session: what is here is noted, what has gone is removed. */
  async tidy(sessions: Sessions): Promise<void> {
    const { state, log } = this.#parts;
    try {
      const temporary = sessions.all.filter(({ tunnel }) => tunnel.parent !== undefined);
      await Promise.all(temporary.map(({ tunnel, from }) => state.sightings.note(tunnel.id, { from })));
      // Before what is not offered any more is forgotten.
      await state.serviceNames.note(offeredNames(sessions));
      await state.sweep((id) => sessions.isLive(id));
    } catch (error) {
      log.error("state not tidied", { reason: toCodedError(error).message });
    }
  }

  /** Every short command of a client is a session that uses the tunnel: two lines each would bury those of what serves. */
  #say(role: Session["role"], event: string, fields: LogFields): void {
    const { log } = this.#parts;
    if (role === "use") log.debug(event, fields);
    else log.info(event, fields);
  }

  async #note(tunnel: string, sighting: { from: string; ended?: boolean }): Promise<void> {
    try {
      await this.#parts.state.sightings.note(tunnel, sighting);
    } catch (error) {
      this.#parts.log.warn("sighting not noted", { tunnel, reason: toCodedError(error).message });
    }
  }
}

function offeredNames(sessions: Sessions): Set<string> {
  const names = sessions.all.flatMap(({ publisher }) => publisher.rules.map(({ rule }) => rule.service));
  return new Set(names.filter((name) => name !== undefined));
}
