import type { Services } from "./mesh/services.ts";
import { type ServiceNames, serviceWithdrawn } from "./state/service_names.ts";
import type { Tunnel } from "./state/tunnels.ts";

/** What decides who may offer a service. */
export interface ServiceOffersParts {
  /** Who offers what now. */
  services: Pick<Services, "assertFree">;
  /** Whose each name is. */
  names: Pick<ServiceNames, "check" | "claim" | "isOf">;
}

/** The service names that the rules of one session may have; no name is fine everywhere. */
export class ServiceOffers {
  readonly #session: { readonly tunnel: Tunnel };
  readonly #parts: ServiceOffersParts;

  constructor(session: { readonly tunnel: Tunnel }, parts: ServiceOffersParts) {
    this.#session = session;
    this.#parts = parts;
  }

  /** Whether a rule may have the name, from memory. @throws {CodedError} SERVICE_TAKEN */
  check(name: string | undefined): void {
    if (name === undefined) return;
    const { owner } = this.#session.tunnel;
    this.#parts.services.assertFree(owner, name);
    this.#parts.names.check(owner, name);
  }

  /** Makes the name the owner's. @throws {CodedError} SERVICE_TAKEN, QUOTA_EXCEEDED */
  async claim(name: string | undefined): Promise<void> {
    if (name !== undefined) await this.#parts.names.claim(name, this.#session.tunnel);
  }

  /** What was lost between the claim and this moment nobody has withdrawn; what is lost from now on is. @throws {CodedError} SERVICE_WITHDRAWN */
  assertOwned(name: string | undefined): void {
    if (name !== undefined && !this.owns(name)) throw serviceWithdrawn(name);
  }

  /** Whether the name is the owner's; from memory. */
  owns(name: string): boolean {
    return this.#parts.names.isOf(this.#session.tunnel.owner, name);
  }
}
