import { type CertificatePair, coverageFault, readCertificatePair, validityFault } from "../../net/certificate.ts";
import { CodedError, toCodedError } from "../../protocol/errors.ts";
import type { RuleCheck } from "../rule_check.ts";
import { fileStamp, readCertificateFile, readKeyFile } from "./key_file.ts";

/** Which certificate, and for what. */
export interface PemCertificateOptions {
  readonly certificateFile: string;
  readonly keyFile: string;
  readonly domain: string;
  /** Told when changed files have taken the place of those before. */
  readonly onReplaced: (domain: string, pair: CertificatePair) => void;
}

/**
 * A certificate in files of the user, with whatever is in them now: an edit counts from the next handshake on. An edit that cannot be
 * used changes nothing; with files that never could be the rule stays closed (security R40).
 */
export class PemCertificate implements RuleCheck {
  readonly #options: PemCertificateOptions;
  #pair: CertificatePair | undefined;
  #fault: CodedError | undefined;
  #stamp: string | undefined;
  /** Whether files that cannot be used were there at two looks. */
  #settled = false;

  constructor(options: PemCertificateOptions) {
    this.#options = options;
  }

  /** The last one that could be used. */
  get pair(): CertificatePair | undefined {
    return this.#pair;
  }

  get fault(): CodedError | undefined {
    return this.#pair === undefined ? this.#fault : undefined;
  }

  /** Why files that were changed are not used, while the ones before still are. */
  get warning(): CodedError | undefined {
    if (this.#pair === undefined || this.#fault === undefined || !this.#settled) return undefined;
    const { kind, message } = this.#fault;
    return new CodedError(kind, `${message}; the certificate from before goes on to serve`);
  }

  async look(): Promise<void> {
    const { certificateFile, keyFile } = this.#options;
    const stamp = (await Promise.all([fileStamp(certificateFile), fileStamp(keyFile)])).join(" ");
    // What could not be used may become right without a change: a certificate whose time comes.
    if (stamp === this.#stamp && this.#fault === undefined) return;
    try {
      this.#take(await this.#read());
    } catch (error) {
      this.#fault = toCodedError(error, "CERTIFICATE_INVALID");
      // The first time the two files may be in the middle of being replaced, one after the other.
      this.#settled ||= stamp === this.#stamp;
    }
    this.#stamp = stamp;
  }

  #take(pair: CertificatePair): void {
    const before = this.#pair;
    this.#pair = pair;
    this.#fault = undefined;
    this.#settled = false;
    if (before !== undefined) this.#options.onReplaced(this.#options.domain, pair);
  }

  async #read(): Promise<CertificatePair> {
    const { certificateFile, keyFile, domain } = this.#options;
    const certificate = await readCertificateFile(certificateFile);
    const key = await readKeyFile(keyFile);
    const what = `the certificate "${certificateFile}"`;
    const pair = readCertificatePair({ certificate, key }, what);
    const fault = coverageFault(pair, domain, what) ?? validityFault(pair, { what });
    if (fault !== undefined) throw fault;
    return pair;
  }
}
