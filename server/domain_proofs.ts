import { CodedError } from "../protocol/errors.ts";
import { canonicalHost } from "../protocol/host_name.ts";
import type { DomainState, RequestResult } from "../protocol/request.ts";
import type { Dns } from "./dns.ts";
import type { DomainLooks } from "./domain_looks.ts";
import { assertRegistrable, pointingOf } from "./domain_pointing.ts";
import { challengeName, type DomainRequest } from "./state/domains.ts";
import { nameTaken, type ProvenDomain } from "./state/names.ts";
import type { ServerState } from "./state/server_state.ts";
import type { Tunnel } from "./state/tunnels.ts";

/** What proving domains needs. */
export interface DomainProofsParts {
  readonly state: Pick<ServerState, "domains" | "names">;
  readonly looks: Pick<DomainLooks, "last" | "lookNow">;
  readonly dns: Dns;
  /** Where visitors reach this server: a name or an address. */
  readonly edge: string;
}

/** What tunnels ask about domains of their own. */
export class DomainProofs implements Disposable {
  readonly #parts: DomainProofsParts;
  readonly #ending = new AbortController();

  constructor(parts: DomainProofsParts) {
    this.#parts = parts;
  }

  /**
   * Notes that the tunnel wants the domain; says what to set in the DNS. Throws `NAME_INVALID`, `NAME_RESERVED`,
   * `NAME_NOT_ALLOWED`, `NAME_TAKEN` or `QUOTA_EXCEEDED`.
   */
  async add(tunnel: Tunnel, text: string): Promise<RequestResult<"domain.add">> {
    const { state, dns, edge } = this.#parts;
    const domain = domainOf(text);
    state.names.assertProvable(domain);
    await assertRegistrable(domain);
    const known = this.#settled(tunnel, domain) ?? this.#describe(tunnel, await state.domains.add(tunnel, domain));
    const pointing = await pointingOf(domain, { hostname: tunnel.hostname, edge, dns, signal: this.#ending.signal });
    return { ...known, pointing };
  }

  /** Looks for the record now. Throws `NAME_TAKEN`, `DOMAIN_NOT_VERIFIED` for what was not added, and `LIMIT_EXCEEDED`. */
  async verify(tunnel: Tunnel, text: string): Promise<DomainState> {
    const domain = domainOf(text);
    const settled = this.#settled(tunnel, domain);
    if (settled !== null) return settled;
    const request = this.#parts.state.domains.get(tunnel.id, domain);
    if (request === undefined) throw notAdded(domain);
    await this.#parts.looks.lookNow(request);
    return this.#settled(tunnel, domain) ?? this.#describe(tunnel, request);
  }

  /** What the tunnel has asked for and not proven yet, and what it has proven itself. */
  list(tunnel: Tunnel): DomainState[] {
    const { domains, names } = this.#parts.state;
    const verified = names.provenOf(tunnel.id).map(verifiedState);
    const open = domains.list(tunnel.id).filter(({ domain }) => !verified.some((each) => each.domain === domain));
    return [...open.map((request) => this.#describe(tunnel, request)), ...verified]
      .sort((a, b) => a.domain < b.domain ? -1 : 1);
  }

  /** Gives the domain up, verified or not. Throws `DOMAIN_NOT_VERIFIED` for what the tunnel neither asked for nor has proven. */
  async remove(tunnel: Tunnel, text: string): Promise<void> {
    const { domains, names } = this.#parts.state;
    const domain = domainOf(text);
    const removed = await domains.remove(tunnel.id, domain);
    const proven = names.provenOf(tunnel.id).some((each) => each.domain === domain);
    if (proven) await names.release(tunnel, domain);
    else if (!removed) throw notAdded(domain);
  }

  /** The server stops: what still asks the DNS ends. */
  [Symbol.dispose](): void {
    this.#ending.abort();
  }

  /** The domain is the tunnel's already, or a part of what is. @throws {CodedError} NAME_TAKEN */
  #settled(tunnel: Tunnel, domain: string): DomainState | null {
    const { names } = this.#parts.state;
    if (names.isOthers(tunnel, domain)) throw nameTaken(domain);
    const unit = names.unitOf(domain);
    if (!names.isProven(unit) || !names.mayUse(tunnel, domain)) return null;
    if (unit !== domain) return { domain, status: "verified", coveredBy: unit };
    const own = names.provenOf(tunnel.id).find((each) => each.domain === domain);
    return own === undefined ? { domain, status: "verified" } : verifiedState(own);
  }

  #describe(tunnel: Tunnel, request: DomainRequest): DomainState {
    const { domains, names } = this.#parts.state;
    const { domain, value, since } = request;
    const look = this.#parts.looks.last(request);
    const taken = names.isOthers(tunnel, domain);
    const reason = taken ? nameTaken(domain).message : look?.reason;
    return {
      domain,
      status: taken ? "taken" : domains.isExpired(request) ? "expired" : "pending",
      txt: { name: challengeName(domain), value },
      since: isoTime(since),
      ...(look === undefined ? {} : { checked: isoTime(look.at) }),
      ...(reason === undefined ? {} : { reason }),
      ...(!taken && look?.unanswered === true ? { unanswered: true } : {}),
    };
  }
}

/** Names only: an address proves nothing. @throws {CodedError} NAME_INVALID */
function domainOf(text: string): string {
  try {
    return canonicalHost(text);
  } catch (cause) {
    throw new CodedError("NAME_INVALID", `"${text.slice(0, 80)}" is not a valid host name`, { cause });
  }
}

function verifiedState({ domain, since }: ProvenDomain): DomainState {
  return { domain, status: "verified", since: isoTime(since) };
}

function isoTime(ms: number): string {
  return new Date(ms).toISOString();
}

function notAdded(domain: string): CodedError {
  return new CodedError("DOMAIN_NOT_VERIFIED", `"${domain}" was not added: run \`pktriot domain add ${domain}\``);
}
