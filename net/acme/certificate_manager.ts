import { CodedError } from "../../protocol/errors.ts";
import type { CertificatePair } from "../certificate.ts";
import { type Logger, SILENT } from "../log.ts";
import { accountKey, accountPath } from "./account_key.ts";
import { AcmeError, forNames } from "./acme_error.ts";
import type { AcmeAccount } from "./acme_session.ts";
import { AcmeTransport } from "./acme_transport.ts";
import { caFolder } from "./ca_folder.ts";
import { CertificateFiles } from "./certificate_files.ts";
import type { Challenges } from "./challenges.ts";
import { type FailedOrder, FailedOrders, fingerprint, isFree } from "./failed_orders.ts";
import { orderCertificate } from "./order_certificate.ts";
import { readPrivateFile } from "./private_file.ts";
import type { DnsPublisher } from "./proof.ts";
import { fetchRenewalInfo, renewalId } from "./renewal_info.ts";
import { type CertificateOrder, type Failures, WantedCertificate } from "./wanted_certificate.ts";

/** How certificates are had from a CA. */
export interface CertificateManagerOptions extends Omit<AcmeAccount, "accountKey"> {
  /** Where accounts and certificates are kept, in a folder for each CA, 0700. */
  readonly folder: string;
  /** Where the answers for http-01 and tls-alpn-01 are put. */
  readonly challenges: Challenges;
  /** Publishes the records of dns-01. */
  readonly dnsHook?: DnsPublisher;
  /** @default SILENT */
  readonly log?: Logger;
  /** @default Date.now */
  readonly now?: () => number;
  /** How often the clock is looked at: a machine may sleep, and then a timer is late. @default 30_000 */
  readonly tickMs?: number;
  /** Before the second look at what the CA has decided; then it doubles. @default 250 */
  readonly pollMs?: number;
  /** There is a certificate to serve from now on: one that was stored, or a new one. */
  readonly onCertificate: (event: { names: readonly string[]; pair: CertificatePair }) => void;
  /** A step of an order, in a few words. */
  readonly onProgress?: (event: { name: string; names: readonly string[]; step: string }) => void;
  /** An order failed; a certificate handed out before goes on to serve. */
  readonly onFailure?: (event: { name: string; names: readonly string[]; error: AcmeError; retryAt: Date }) => void;
}

const TICK_MS = 30_000;
/** Names that failed and were given up are remembered so far; more of them are forgotten from the oldest on. */
const MAX_REMEMBERED = 1_000;

/**
 * Has certificates for all orders that are wanted, for ever: hands out what is stored, orders what is missing, and renews in time.
 * One order at a time, the most urgent first. It orders for the names it is told, so its owner tells it owned ones only
 * (security R48). Disposing gives a running order up and waits for its end.
 */
export class CertificateManager implements AsyncDisposable {
  readonly #options: CertificateManagerOptions;
  readonly #log: Logger;
  readonly #now: () => number;
  readonly #folder: string;
  readonly #files: CertificateFiles;
  readonly #failed: FailedOrders;
  #failedLoaded: Promise<void> | undefined;
  readonly #wanted = new Map<string, WantedCertificate>();
  readonly #stop = new AbortController();
  /** What failed and is not wanted at the moment: who comes and goes does not ask the CA more often. */
  readonly #notWanted = new Map<string, Failures>();
  #current: WantedCertificate | undefined;
  /** The time at the last look. */
  #lookedAt = -Infinity;
  #wake = Promise.withResolvers<void>();
  #running: Promise<void> | undefined;

  /** Begins nothing. @throws {AcmeError} ACME_REFUSED when the directory is not an https URL */
  constructor(options: CertificateManagerOptions) {
    this.#options = options;
    this.#folder = caFolder(options.folder, options.directory);
    this.#log = options.log ?? SILENT;
    this.#now = options.now ?? Date.now;
    this.#files = new CertificateFiles(this.#folder);
    this.#failed = new FailedOrders(this.#folder);
  }

  /**
   * Sets what is wanted from now on, in place of what was wanted before. Settles when what is stored of it has been handed out; orders
   * follow in the background. Files of what is not wanted any more are kept.
   * @throws {CodedError} NAME_INVALID, and then nothing has changed
   */
  async want(orders: readonly CertificateOrder[]): Promise<void> {
    const byKey = new Map(orders.map((order) => [this.#files.pathOf(order.names), order]));
    for (const [key, certificate] of this.#wanted) {
      if (byKey.has(key)) continue;
      this.#wanted.delete(key);
      this.#remember(key, certificate.failed);
      certificate.stop.abort(new CodedError("NOT_FOUND", "The certificate is not wanted any more"));
    }
    const added: WantedCertificate[] = [];
    for (const [key, order] of byKey) {
      const known = this.#wanted.get(key);
      if (known !== undefined) {
        known.provenBy(order.challenge, this.#now());
        continue;
      }
      const certificate = new WantedCertificate(order, this.#notWanted.get(key));
      this.#notWanted.delete(key);
      this.#wanted.set(key, certificate);
      added.push(certificate);
    }
    await Promise.all(added.map((certificate) => this.#load(certificate)));
    if (!this.#stop.signal.aborted) this.#running ??= this.#run();
    this.#wake.resolve();
  }

  /** Orders certificates with this name now, whatever failed before; false when none is wanted. */
  renewNow(name: string): boolean {
    const found = [...this.#wanted.values()].filter(({ names }) => names.includes(name));
    for (const certificate of found) if (certificate !== this.#current) certificate.hurry(this.#now());
    this.#wake.resolve();
    return found.length > 0;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort(new CodedError("SESSION_CLOSED", "The certificates are not looked after any more"));
    this.#wake.resolve();
    await this.#running;
  }

  async #load(certificate: WantedCertificate): Promise<void> {
    const { names } = certificate;
    const stored = await this.#files.load(names, this.#now());
    const before = certificate.failed === undefined ? await this.#failedBefore(certificate) : undefined;
    if (certificate.stop.signal.aborted) return;
    if (before !== undefined) certificate.goesOn(before);
    if (stored.kind === "usable") {
      certificate.isStored(stored.pair, this.#now());
      this.#handOut(names, stored.pair);
    } else {
      if (stored.kind === "broken") {
        this.#log.warn("stored certificate not used", { names: names.join(", "), reason: stored.error.message });
      }
      certificate.isMissing(this.#now());
    }
    if (before !== undefined && before.retryAt > this.#now()) {
      this.#tellFailure("certificate order waits", names, new AcmeError(before.kind, before.message), before);
    }
  }

  /** What failed of it before this process began. */
  async #failedBefore(certificate: WantedCertificate): Promise<FailedOrder | undefined> {
    await (this.#failedLoaded ??= this.#loadFailed());
    return this.#failed.get(this.#files.pathOf(certificate.names), await this.#fingerprintOf(certificate));
  }

  /** A file that cannot be used is as none. */
  async #loadFailed(): Promise<void> {
    try {
      await this.#failed.load(this.#now());
    } catch (error) {
      this.#log.warn("failed orders not read", { reason: error instanceof Error ? error.message : String(error) });
    }
  }

  /** Whoever changes one of these may have mended what failed. */
  async #fingerprintOf({ types }: WantedCertificate): Promise<string> {
    const { email, eab, ca } = this.#options;
    // One that cannot be read is told of by the order.
    const account = await readPrivateFile(accountPath(this.#folder)).catch(() => null);
    return fingerprint(types, email, eab, ca, account);
  }

  #remember(key: string, failed: Failures | undefined): void {
    if (failed === undefined) return;
    this.#notWanted.set(key, failed);
    const [oldest] = this.#notWanted.keys();
    if (this.#notWanted.size > MAX_REMEMBERED && oldest !== undefined) this.#notWanted.delete(oldest);
  }

  /** Never fails: what goes wrong is of one certificate. */
  async #run(): Promise<void> {
    while (!this.#stop.signal.aborted) {
      const now = this.#look();
      const all = [...this.#wanted.values()];
      const due = mostUrgent(all.filter(({ dueAt }) => dueAt <= now), now);
      const unasked = all.find(({ askAt }) => askAt <= now);
      if (due !== undefined) await this.#order(due);
      else if (unasked !== undefined) await this.#ask(unasked);
      else await this.#sleep(Math.min(...all.flatMap(({ dueAt, askAt }) => [dueAt, askAt])) - now);
    }
  }

  /** The time. A clock that was wrong and is set back must not make what was planned by it wait. */
  #look(): number {
    const now = this.#now();
    const back = this.#lookedAt - now;
    this.#lookedAt = now;
    if (back > 0 && back !== Infinity) { for (const each of this.#wanted.values()) each.clockSetBack(back, now); }
    return now;
  }

  async #order(certificate: WantedCertificate): Promise<void> {
    const { names } = certificate;
    const signal = AbortSignal.any([this.#stop.signal, certificate.stop.signal]);
    this.#current = certificate;
    try {
      const pair = await this.#issue(certificate, signal);
      await this.#save(names, pair);
      certificate.isIssued(pair, this.#now());
      await this.#keep(() => this.#failed.delete(this.#files.pathOf(names)));
      if (signal.aborted) return;
      this.#progress(names, `issued until ${pair.notAfter.toISOString()}`);
      this.#handOut(names, pair);
    } catch (error) {
      if (!signal.aborted) await this.#fail(certificate, error);
    } finally {
      this.#current = undefined;
    }
  }

  async #issue(certificate: WantedCertificate, signal: AbortSignal): Promise<CertificatePair> {
    const { challenges, dnsHook, pollMs } = this.#options;
    const { names } = certificate;
    return await orderCertificate({
      account: { ...this.#options, accountKey: await accountKey(this.#folder) },
      names,
      types: certificate.types,
      places: { challenges, dns: dnsHook },
      replaces: await idOf(certificate),
      pollMs,
      now: this.#now,
      signal,
      onStep: (step) => this.#progress(names, step),
    });
  }

  /** A full disk is no reason not to serve what the CA has given. */
  async #save(names: readonly string[], pair: CertificatePair): Promise<void> {
    try {
      await this.#files.save(names, pair);
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      this.#log.error("certificate not stored", { names: names.join(", "), reason });
    }
  }

  /** With a CA that is out of reach, everything that is due has failed: one long wait for it is enough. */
  async #fail(certificate: WantedCertificate, error: unknown): Promise<void> {
    const now = this.#now();
    const unreachable = error instanceof CodedError && error.kind === "ACME_UNREACHABLE";
    const others = unreachable ? [...this.#wanted.values()].filter(({ dueAt }) => dueAt <= now) : [];
    for (const failed of new Set([certificate, ...others])) {
      const told = forNames(failed.names, error);
      const retryAt = failed.hasFailed(now, told.retryAfterMs);
      const { failures = 1 } = failed.failed ?? {};
      // Whom nobody reached has counted nothing, unless the answer was to wait.
      const isKept = !unreachable || told.retryAfterMs !== undefined;
      if (isKept) await this.#keepFailed(failed, told, { failures, failedAt: now, retryAt });
      const hinted = { failures: isKept ? failures : 0, retryAt };
      this.#tellFailure("certificate order failed", failed.names, told, hinted);
    }
  }

  #keepFailed(
    certificate: WantedCertificate,
    { kind, message }: AcmeError,
    when: Pick<FailedOrder, "failures" | "failedAt" | "retryAt">,
  ): Promise<void> {
    return this.#keep(async () => {
      const about = await this.#fingerprintOf(certificate);
      await this.#failed.set(this.#files.pathOf(certificate.names), { ...when, kind, message, about });
    });
  }

  /** A full disk ends nothing: then a restart asks the CA once more. */
  async #keep(work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      this.#log.warn("failed orders not stored", { reason: error instanceof Error ? error.message : String(error) });
    }
  }

  #tellFailure(event: string, names: readonly string[], error: AcmeError, { failures, retryAt }: Failures): void {
    const isRestartEnough = failures === 0 || isFree({ failures, kind: error.kind });
    this.#log.warn(event, {
      ...{ names: names.join(", "), code: error.code, reason: error.message },
      retryAt: new Date(retryAt).toISOString(),
      hint: `to try at once, ${isRestartEnough ? "" : `remove ${this.#failed.path} and `}restart`,
    });
    this.#tell(() => this.#options.onFailure?.({ name: names[0] ?? "", names, error, retryAt: new Date(retryAt) }));
  }

  /** Asks the CA when it would like to replace the certificate; its silence changes nothing. */
  async #ask(certificate: WantedCertificate): Promise<void> {
    const { directory } = this.#options;
    const signal = AbortSignal.any([this.#stop.signal, certificate.stop.signal]);
    try {
      using transport = new AcmeTransport(this.#options);
      const id = await idOf(certificate);
      const info = id === undefined ? undefined : await fetchRenewalInfo(transport, { directory, id, signal });
      certificate.advised(info, this.#now());
    } catch (error) {
      certificate.advised(undefined, this.#now());
      const reason = error instanceof Error ? error.message : String(error);
      this.#log.debug("no renewal information", { names: certificate.names.join(", "), reason });
    }
  }

  async #sleep(ms: number): Promise<void> {
    const timer = setTimeout(() => this.#wake.resolve(), Math.min(ms, this.#options.tickMs ?? TICK_MS));
    await this.#wake.promise;
    clearTimeout(timer);
    this.#wake = Promise.withResolvers();
  }

  #progress(names: readonly string[], step: string): void {
    this.#log.info("certificate", { names: names.join(", "), step });
    this.#tell(() => this.#options.onProgress?.({ name: names[0] ?? "", names, step }));
  }

  #handOut(names: readonly string[], pair: CertificatePair): void {
    this.#tell(() => this.#options.onCertificate({ names, pair }));
  }

  /** What a listener throws is its own affair: the other certificates are still looked after. */
  #tell(listener: () => void): void {
    try {
      listener();
    } catch (error) {
      this.#log.error("certificate listener failed", {
        reason: error instanceof Error ? error.message : String(error),
      });
    }
  }
}

/** What the CA knows the certificate by that is served now; nothing depends on it. */
async function idOf({ pair }: WantedCertificate): Promise<string | undefined> {
  try {
    return pair === undefined ? undefined : await renewalId(pair.certificate);
  } catch {
    return undefined; // A certificate that one library reads and another does not is renewed all the same.
  }
}

/** Those without anything that works go first, then what has waited longest. */
function mostUrgent(due: readonly WantedCertificate[], now: number): WantedCertificate | undefined {
  const urgent = due.filter((certificate) => certificate.isUrgent(now));
  return (urgent.length > 0 ? urgent : due).toSorted((a, b) => a.dueAt - b.dueAt)[0];
}
