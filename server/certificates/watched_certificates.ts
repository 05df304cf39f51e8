import { sep } from "node:path";
import { type CertificatePair, expiresSoon, isCurrent, isExpired, validityFault } from "../../net/certificate.ts";
import { delay } from "../../net/delay.ts";
import type { Logger } from "../../net/log.ts";
import { type CodedError, toCodedError } from "../../protocol/errors.ts";
import type { CertificateFile, FoundCertificates } from "./certificate_files.ts";
import { type CertificateReading, readCertificateFile } from "./read_certificate_file.ts";

/** A file with a certificate, and what became of it. */
export interface WatchedCertificate {
  /** As in {@link CertificateFile}. */
  readonly file: string;
  /** What is used; with a fault it is what the file held before. */
  readonly pair?: CertificatePair;
  /** Why what the file holds now is not used. */
  readonly fault?: CodedError;
}

/** What watching certificates needs. */
export interface WatchedCertificatesOptions {
  readonly log: Logger;
  /** All certificates in use, whenever they are others than before. */
  readonly onChange?: (pairs: readonly CertificatePair[]) => void;
  /** Why a new pair must not replace the one in use, beside its time. @default nothing forbids it */
  readonly unfit?: (pair: CertificatePair, used: CertificatePair) => CodedError | undefined;
  /** ms since the epoch. @default Date.now */
  readonly now?: () => number;
  /** Between two looks, ms. @default 2_000 */
  readonly pollMs?: number;
}

/** A new certificate is used this much later at most; a look costs a `stat` for each file. */
const POLL_MS = 2_000;
/** In a folder of thousands a look takes longer: it may have this part of the time. */
const LOOK_SHARE = 20;

interface Entry extends WatchedCertificate {
  readonly stamp: string;
}

/**
 * Certificates of the operator's own, in files that are looked at all the time. A bad file never disturbs the others, nor itself:
 * what it held before stays in use until it can be used again or has gone.
 */
export class WatchedCertificates implements AsyncDisposable {
  readonly #find: () => Promise<FoundCertificates>;
  readonly #options: WatchedCertificatesOptions;
  readonly #now: () => number;
  readonly #stop = new AbortController();
  /** What was last said about a file, so that it is said once. */
  readonly #said = new Map<string, string>();
  #entries: ReadonlyMap<string, Entry> = new Map();
  #watching: Promise<void> | undefined;

  /** Nobody has looked yet. `find` says which files there are now. */
  constructor(find: () => Promise<FoundCertificates>, options: WatchedCertificatesOptions) {
    this.#find = find;
    this.#options = options;
    this.#now = options.now ?? Date.now;
  }

  /** All files that should hold a certificate. */
  get certificates(): readonly WatchedCertificate[] {
    return [...this.#entries.values()].filter(({ pair, fault }) => pair !== undefined || fault !== undefined);
  }

  /** Looks again and again until disposed. */
  watch(): void {
    this.#watching ??= this.#watch();
  }

  /**
   * Looks once. A bad file is logged; when the files cannot be found, nothing changes.
   * @throws what finding them throws
   */
  async look(): Promise<void> {
    const { files, unreadable } = await this.#find();
    const before = this.#entries;
    const after = new Map<string, Entry>();
    for (const file of files) after.set(file.file, await this.#entryOf(file, before.get(file.file)));
    for (const [folder, reason] of unreadable) {
      this.#sayOnce(folder, reason, () => this.#options.log.warn("certificates not read", { file: folder, reason }));
      // Whether they are still there cannot be seen.
      for (const [file, entry] of before) if (file.startsWith(folder + sep)) after.set(file, entry);
    }
    this.#entries = after;
    this.#logChanges(before, after);
    for (const name of this.#said.keys()) if (!after.has(name) && !unreadable.has(name)) this.#said.delete(name);
    const pairs = pairsOf(after);
    if (!isSame(pairs, pairsOf(before))) this.#options.onChange?.(pairs);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    await this.#watching;
  }

  async #watch(): Promise<void> {
    const { signal } = this.#stop;
    const { pollMs = POLL_MS, log } = this.#options;
    let tookMs = 0;
    let complaint = "";
    while (true) {
      await delay(Math.max(pollMs, tookMs * LOOK_SHARE), { signal });
      if (signal.aborted) return;
      const begin = performance.now();
      try {
        await this.look();
        complaint = "";
      } catch (error) {
        const { code, message } = toCodedError(error);
        if (message !== complaint) log.error("certificates not read", { code, reason: message });
        complaint = message;
      }
      tookMs = performance.now() - begin;
    }
  }

  async #entryOf(file: CertificateFile, known: Entry | undefined): Promise<Entry> {
    // What was bad is read each time: the clock of a file system may be too coarse to show that it was finished.
    if (known !== undefined && known.fault === undefined && known.stamp === file.stamp) return known;
    return this.#merge(file, await readCertificateFile(file), known?.pair);
  }

  /** The new pair, unless the one in use is the better one. */
  #merge({ file, stamp }: CertificateFile, reading: CertificateReading, used: CertificatePair | undefined): Entry {
    const now = this.#now();
    const kept = used === undefined ? {} : { pair: used };
    if (reading.kind === "none") return { file, stamp };
    if (reading.kind === "fault") return { file, stamp, ...kept, fault: reading.fault };
    const { pair } = reading;
    const expired = used !== undefined && isCurrent(used, now)
      ? validityFault(pair, { what: `"${file}"`, now })
      : undefined;
    const fault = used === undefined ? undefined : expired ?? this.#options.unfit?.(pair, used);
    return fault === undefined ? { file, stamp, pair } : { file, stamp, ...kept, fault };
  }

  #logChanges(before: ReadonlyMap<string, Entry>, after: ReadonlyMap<string, Entry>): void {
    const { log } = this.#options;
    for (const [file, { pair, fault, stamp }] of after) {
      if (pair !== undefined && pair !== before.get(file)?.pair) {
        log.info("certificate loaded", { file, ...factsOf(pair) });
      }
      const trouble = fault === undefined ? this.#troubleOf(pair) : "certificate not used";
      if (trouble === undefined) this.#said.delete(file);
      else {
        this.#sayOnce(file, `${trouble} ${stamp} ${fault?.message}`, () =>
          log.warn(trouble, {
            file,
            ...pair === undefined ? {} : factsOf(pair),
            ...fault === undefined ? {} : { code: fault.code, reason: fault.message },
            // A fault beside a pair: that is what the file held before.
            ...fault === undefined || pair === undefined ? {} : { hint: "the one before goes on to serve" },
          }));
      }
    }
    for (const [file, { pair }] of before) {
      if (pair !== undefined && after.get(file)?.pair === undefined) {
        log.info("certificate gone", { file, ...factsOf(pair) });
      }
    }
  }

  #troubleOf(pair: CertificatePair | undefined): string | undefined {
    const now = this.#now();
    if (pair === undefined) return undefined;
    if (isExpired(pair, now)) return "certificate expired";
    if (!isCurrent(pair, now)) return "certificate not valid yet";
    return expiresSoon(pair, now) ? "certificate expires soon" : undefined;
  }

  #sayOnce(about: string, what: string, say: () => void): void {
    if (this.#said.get(about) === what) return;
    this.#said.set(about, what);
    say();
  }
}

function factsOf(pair: CertificatePair): { names: string; expires: string } {
  return { names: pair.names.join(", "), expires: pair.notAfter.toISOString() };
}

function pairsOf(entries: ReadonlyMap<string, Entry>): CertificatePair[] {
  return [...entries.values()].map(({ pair }) => pair).filter((pair) => pair !== undefined);
}

function isSame(a: readonly CertificatePair[], b: readonly CertificatePair[]): boolean {
  return a.length === b.length && a.every((pair, index) => pair === b[index]);
}
