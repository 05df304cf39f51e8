import type { CertificateManager } from "../../net/acme/certificate_manager.ts";
import { ACME_DIRECTORIES } from "../../net/acme/acme_directories.ts";
import { isOrderName } from "../../net/acme/certificate_files.ts";
import { Challenges } from "../../net/acme/challenges.ts";
import type { CertificatePair } from "../../net/certificate.ts";
import type { Logger } from "../../net/log.ts";
import { CodedError, toCodedError } from "../../protocol/errors.ts";
import type { ClientAcmeOptions, ClientEvent } from "../options.ts";

/** What getting certificates needs. */
export interface AcmeCertificatesOptions extends ClientAcmeOptions {
  readonly onEvent: (event: Extract<ClientEvent, { kind: "certificate" }>) => void;
  /** Called when {@link AcmeCertificates.pairOf} or {@link AcmeCertificates.troubleOf} says something else than before. */
  readonly onChange: () => void;
  readonly log: Logger;
}

/** The certificates that this client gets from a certificate authority, one for each domain, and the answers to its challenges. */
export class AcmeCertificates implements AsyncDisposable {
  readonly challenges: Challenges = new Challenges();
  readonly #options: AcmeCertificatesOptions;
  readonly #pairs = new Map<string, CertificatePair>();
  readonly #troubles = new Map<string, CodedError>();
  #manager: CertificateManager | undefined;
  /** What is wanted is changed by one at a time. */
  #wanting: Promise<void> = Promise.resolve();
  #ended = false;

  constructor(options: AcmeCertificatesOptions) {
    this.#options = options;
  }

  /** The certificate of a domain, once there is one; a new one takes its place by itself. */
  pairOf(domain: string): CertificatePair | undefined {
    return this.#pairs.get(domain);
  }

  /** Why the last order for a domain failed, if it did; a certificate from before goes on to serve. */
  troubleOf(domain: string): CodedError | undefined {
    return this.#troubles.get(domain);
  }

  /** Has certificates for these domains from now on and no others: only for those that the server has let us have (security R48). */
  want(domains: readonly string[]): Promise<void> {
    this.#wanting = this.#wanting.then(() => this.#want(domains));
    return this.#wanting;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#ended = true;
    await this.#wanting;
    await this.#manager?.[Symbol.asyncDispose]();
  }

  async #want(domains: readonly string[]): Promise<void> {
    if (this.#ended || (domains.length === 0 && this.#manager === undefined)) return;
    try {
      this.#manager ??= await this.#begin();
      const names = domains.filter((domain) => this.#canBeOrdered(domain));
      await this.#manager.want(names.map((name) => ({ names: [name], challenge: ["http-01", "tls-alpn-01"] })));
    } catch (error) {
      const { code, message } = toCodedError(error);
      this.#options.log.error("certificates cannot be had", { code, reason: message });
    }
  }

  /** One name for which no authority has certificates is no reason to have none for the others. */
  #canBeOrdered(domain: string): boolean {
    if (isOrderName(domain)) return true;
    const message = "there are certificates for full domain names only";
    this.#options.onEvent({ kind: "certificate", domain, step: `failed: ${message}` });
    this.#setTrouble(domain, new CodedError("NAME_INVALID", message));
    return false;
  }

  /** Loaded when it is needed: few clients get certificates. */
  async #begin(): Promise<CertificateManager> {
    const { CertificateManager } = await import("../../net/acme/certificate_manager.ts");
    const { onEvent, onChange, log, folder, email, ca, directory = ACME_DIRECTORIES.letsencrypt } = this.#options;
    return new CertificateManager({
      ...{ folder, directory, log, challenges: this.challenges },
      ...(email === undefined ? {} : { email }),
      ...(ca === undefined ? {} : { ca }),
      onCertificate: ({ names, pair }) => {
        for (const domain of names) {
          this.#pairs.set(domain, pair);
          onEvent({ kind: "certificate", domain, step: "ready", notAfter: pair.notAfter.toISOString() });
          this.#troubles.delete(domain);
        }
        onChange();
      },
      onProgress: ({ name, step }) => onEvent({ kind: "certificate", domain: name, step }),
      onFailure: ({ name, error, retryAt }) => {
        const message = `${error.message}; next try at ${retryAt.toISOString()}`;
        onEvent({ kind: "certificate", domain: name, step: `failed: ${message}` });
        this.#setTrouble(name, new CodedError(error.kind, message));
      },
    });
  }

  #setTrouble(domain: string, trouble: CodedError): void {
    // What is the same again is no news: each is followed by an answer, and that leads here.
    if (this.#troubles.get(domain)?.message === trouble.message) return;
    this.#troubles.set(domain, trouble);
    this.#options.onChange();
  }
}
