import type { Logger } from "../net/log.ts";
import { CodedError, toCodedError } from "../protocol/errors.ts";
import type { ControlMessageOf } from "../protocol/message.ts";
import type { Dns } from "./dns.ts";
import { describeMismatch, isUnanswered, proves } from "./dns_proof.ts";
import { challengeName, type DomainRequest } from "./state/domains.ts";
import { nameTaken } from "./state/names.ts";
import type { ServerState } from "./state/server_state.ts";

/** What looking for records needs. */
export interface DomainLooksParts {
  readonly state: Pick<ServerState, "domains" | "names" | "tunnels">;
  readonly dns: Dns;
  /** Tells the running client of a tunnel. */
  readonly tell: (tunnel: string, notice: Omit<ControlMessageOf<"notice">, "kind">) => void;
  readonly log: Logger;
  readonly now?: () => number;
}

/** When a record was last looked for (ms since the epoch), and why that proved nothing. */
export interface Look {
  readonly at: number;
  readonly reason: string;
  /** No resolver has answered. */
  readonly unanswered?: true;
  /** Its owner was told that nobody looks any more. */
  readonly gaveUp?: true;
}

/** Who has just set a record waits for it; most records are set within the hour. */
const EARLY_LOOK_MS = 60_000;
const EARLY_MS = 3_600_000;
/** Later somebody has forgotten it, or waits for a department. */
const LATE_LOOK_MS = 10 * 60_000;
/** Looks of the server's own at once: a resolver that is slow must not be flooded. */
const LOOKS_AT_ONCE = 8;
/** Looks that one tunnel may ask for at once: a person asks for one. */
const ASKED_AT_ONCE = 4;
/** Looks that a tunnel with its one-shots may ask for in a minute: `--wait` for ten domains. The DNS of others is asked in our name. */
const ASKED_PER_MINUTE = 120;
const MINUTE_MS = 60_000;

/** Looks for the TXT records of the domains that tunnels have asked for; one that is right makes the domain the tunnel's. */
export class DomainLooks implements AsyncDisposable {
  readonly #parts: DomainLooksParts;
  readonly #now: () => number;
  readonly #ending = new AbortController();
  /** Looks under way, by tunnel and domain. */
  readonly #running = new Map<string, Promise<void>>();
  /** What was last seen; only requests that stand have an entry. */
  readonly #looks = new Map<string, Look>();
  /** Looks that were asked for in this minute, by family. */
  #asked = { minute: 0, counts: new Map<string, number>() };
  #ticking: Promise<void> | null = null;

  constructor(parts: DomainLooksParts) {
    this.#parts = parts;
    this.#now = parts.now ?? Date.now;
  }

  /** The last look for a request's record, unless it was found. */
  last(request: DomainRequest): Look | undefined {
    return this.#looks.get(keyOf(request));
  }

  /** Looks at once, as a tunnel asks. @throws {CodedError} LIMIT_EXCEEDED */
  async lookNow(request: DomainRequest): Promise<void> {
    const asked = [...this.#running.keys()].filter((key) => key.startsWith(`${request.tunnel}.`)).length;
    if (asked >= ASKED_AT_ONCE && !this.#running.has(keyOf(request))) {
      throw new CodedError("LIMIT_EXCEEDED", `The server looks for ${ASKED_AT_ONCE} records of this tunnel already`);
    }
    if (!this.#running.has(keyOf(request))) this.#countAsked(request.family);
    await this.#look(request);
  }

  /** Looks for every record that is due; called again and again. Never rejects. */
  tick(): Promise<void> {
    this.#ticking ??= this.#tick().finally(() => this.#ticking = null);
    return this.#ticking;
  }

  /** Ends every look. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#ending.abort();
    await this.#ticking;
    await Promise.all(this.#running.values());
  }

  #countAsked(family: string): void {
    const minute = Math.floor(this.#now() / MINUTE_MS);
    if (minute !== this.#asked.minute) this.#asked = { minute, counts: new Map() };
    const count = this.#asked.counts.get(family) ?? 0;
    if (count >= ASKED_PER_MINUTE) {
      throw new CodedError(
        "LIMIT_EXCEEDED",
        `This tunnel has asked for ${ASKED_PER_MINUTE} looks in this minute: wait`,
      );
    }
    this.#asked.counts.set(family, count + 1);
  }

  async #tick(): Promise<void> {
    const requests = this.#parts.state.domains.list();
    const standing = new Set(requests.map(keyOf));
    for (const key of this.#looks.keys()) if (!standing.has(key)) this.#looks.delete(key);
    for (const request of requests) if (this.#parts.state.domains.isExpired(request)) this.#giveUp(request);
    const due = requests.filter((request) => this.#isDue(request)).values();
    await Promise.all(Array.from({ length: LOOKS_AT_ONCE }, async () => {
      for (const request of due) await this.#look(request);
    }));
  }

  #isDue(request: DomainRequest): boolean {
    const { domains, names, tunnels } = this.#parts.state;
    const tunnel = tunnels.get(request.tunnel);
    // What belongs to another tunnel may be released one day; until then the DNS need not be asked.
    if (tunnel === undefined || domains.isExpired(request) || names.isOthers(tunnel, request.domain)) return false;
    const now = this.#now();
    const pause = now - request.since < EARLY_MS ? EARLY_LOOK_MS : LATE_LOOK_MS;
    return now - (this.#looks.get(keyOf(request))?.at ?? -Infinity) >= pause;
  }

  /** One look for a record, whoever asks. Never rejects. */
  #look(request: DomainRequest): Promise<void> {
    const key = keyOf(request);
    const running = this.#running.get(key) ?? this.#lookOnce(request).finally(() => this.#running.delete(key));
    this.#running.set(key, running);
    return running;
  }

  async #lookOnce(request: DomainRequest): Promise<void> {
    const name = challengeName(request.domain);
    let reason: string | null;
    let unanswered = false;
    try {
      const answers = await this.#parts.dns.txt(name, this.#ending.signal);
      if (this.#ending.signal.aborted) return;
      unanswered = isUnanswered(answers);
      reason = proves(answers, request.value) ? await this.#take(request) : describeMismatch(name, answers);
    } catch (error) {
      reason = toCodedError(error).message;
    }
    const key = keyOf(request);
    const before = this.#looks.get(key)?.reason;
    if (reason === null) return void this.#looks.delete(key);
    this.#looks.set(key, { at: this.#now(), reason, ...(unanswered ? { unanswered } : {}) });
    const { log } = this.#parts;
    if (reason !== before) log.info("domain not verified", { tunnel: request.tunnel, domain: request.domain, reason });
  }

  /** The record is there: the domain is the tunnel's, unless another one was first. Gives the reason why not. */
  async #take(request: DomainRequest): Promise<string | null> {
    const { state, log, tell } = this.#parts;
    const { domain } = request;
    const tunnel = state.tunnels.get(request.tunnel);
    if (tunnel === undefined || !await state.domains.stands(request)) return "it was removed meanwhile";
    await state.names.prove(tunnel, domain);
    await state.domains.remove(tunnel.id, domain);
    log.info("domain verified", { tunnel: tunnel.id, domain });
    tell(tunnel.id, { level: "info", code: "domain.verified", message: `The domain ${domain} is verified` });
    for (const other of state.domains.list()) {
      if (other.domain !== domain || other.tunnel === tunnel.id) continue;
      tell(other.tunnel, { level: "warn", code: "domain.taken", message: nameTaken(domain).message });
    }
    return null;
  }

  #giveUp(request: DomainRequest): void {
    const key = keyOf(request);
    const look = this.#looks.get(key);
    if (look === undefined || look.gaveUp === true) return;
    this.#looks.set(key, { ...look, gaveUp: true });
    const { log, tell } = this.#parts;
    log.info("domain given up", { tunnel: request.tunnel, domain: request.domain, reason: look.reason });
    const message = `The domain ${request.domain} was not verified in time: ${look.reason}`;
    tell(request.tunnel, { level: "warn", code: "domain.expired", message: message.slice(0, 1024) });
  }
}

function keyOf({ tunnel, domain }: DomainRequest): string {
  return `${tunnel}.${domain}`;
}
