import { type CertificatePair, readCertificatePair } from "../../net/certificate.ts";
import type { Logger } from "../../net/log.ts";
import { toCodedError } from "../../protocol/errors.ts";
import { type Authority, createAuthority, needsRenewal, openAuthority, renewLeaf } from "../authority.ts";

/** Where the server's own authority is kept, and whom it signs for. */
export interface EndpointAuthorityOptions {
  /** Without it nothing is stored. */
  readonly stateDir?: string | undefined;
  readonly hostname: string;
  readonly log: Logger;
}

/** What the server's own authority has signed for the tunnel endpoint: renewed in place, under the same pin. */
export class EndpointAuthority {
  readonly #options: EndpointAuthorityOptions;
  #authority: Authority;
  #pair: CertificatePair;

  /** Ready ones come from {@link EndpointAuthority.open}. */
  constructor(options: EndpointAuthorityOptions, authority: Authority) {
    this.#options = options;
    this.#authority = authority;
    this.#pair = readCertificatePair(authority.pair);
  }

  /** Loads what is stored, and makes what is missing. @throws {CodedError} STATE_UNAVAILABLE, CERTIFICATE_INVALID */
  static async open(options: EndpointAuthorityOptions): Promise<EndpointAuthority> {
    const { stateDir, hostname } = options;
    const authority = stateDir === undefined
      ? await createAuthority({ hostname })
      : await openAuthority(stateDir, { hostname });
    return new EndpointAuthority(options, authority);
  }

  /** What invites carry. */
  get pin(): string {
    return this.#authority.pin;
  }

  get pair(): CertificatePair {
    return this.#pair;
  }

  /** Signs a new certificate when that is due; whether it did. A failure is logged, and what there is goes on to serve. */
  async renew(): Promise<boolean> {
    const { stateDir, hostname, log } = this.#options;
    if (!needsRenewal(this.#authority, { hostname })) return false;
    try {
      this.#authority = stateDir === undefined
        ? await renewLeaf(this.#authority.ca, { hostname })
        : await openAuthority(stateDir, { hostname });
      this.#pair = readCertificatePair(this.#authority.pair);
      log.info("certificate renewed", { hostname });
      return true;
    } catch (error) {
      log.error("certificate not renewed", { hostname, reason: toCodedError(error).message });
      return false;
    }
  }
}
