import { delay } from "../net/delay.ts";
import { PemCertificate, type PemCertificateOptions } from "./certificates/pem_certificate.ts";
import type { RuleCheck } from "./rule_check.ts";
import { WebRoot } from "./web_root.ts";

/** A look that takes longer (a network file system that is away) is not waited for: the other rules do not depend on it. */
const LOOK_TIMEOUT_MS = 2_000;

/** Told what becomes of the files of a certificate that are changed. */
export type CertificateFileEvents = Pick<PemCertificateOptions, "onReplaced">;

/** What the rules of a client depend on. Rules that are set again go on with what they had, such as the last good certificate. */
export class RuleChecks {
  readonly #events: CertificateFileEvents;
  #kept: ReadonlyMap<string, RuleCheck> = new Map();
  #asked = new Map<string, RuleCheck>();
  readonly #looking = new Map<RuleCheck, Promise<void>>();

  constructor(events: CertificateFileEvents = { onReplaced() {} }) {
    this.#events = events;
  }

  /** The check of a folder. */
  folder(path: string): WebRoot {
    return this.#take(`folder ${path}`, () => new WebRoot(path));
  }

  /** The certificate in files. */
  certificate(source: Omit<PemCertificateOptions, keyof CertificateFileEvents>): PemCertificate {
    return this.#take(
      `certificate ${JSON.stringify(source)}`,
      () => new PemCertificate({ ...source, ...this.#events }),
    );
  }

  /** Keeps what was asked for since the last time, and forgets the rest. */
  keep(): void {
    this.#kept = this.#asked;
    this.#asked = new Map();
  }

  /** Looks at all of them. Never rejects. */
  async look(): Promise<void> {
    const done = new AbortController();
    const all = Promise.all([...this.#kept.values()].map((check) => this.#lookAt(check)));
    await Promise.race([all, delay(LOOK_TIMEOUT_MS, { signal: done.signal })]);
    done.abort();
  }

  /** One look at a time. */
  #lookAt(check: RuleCheck): Promise<void> {
    const running = this.#looking.get(check) ?? check.look().finally(() => this.#looking.delete(check));
    this.#looking.set(check, running);
    return running;
  }

  #take<C extends RuleCheck>(key: string, make: () => C): C {
    // What kind of check it is, its key says.
    const check = (this.#asked.get(key) ?? this.#kept.get(key) ?? make()) as C;
    this.#asked.set(key, check);
    return check;
  }
}
