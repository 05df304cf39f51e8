import { type CertificatePair, isCurrent, wildcardOf } from "./certificate.ts";

/**
 * Which certificate is used for which name, from several sources, such as a folder and an ACME client. It decides in this
 * order: one that is valid now; one of the source named first; one for exactly this name before a wildcard; the one that
 * lasts longest. An expired one is better than none: visitors then see what is wrong.
 */
export class CertificateTable<Source extends string = string> {
  readonly #sources: readonly Source[];
  readonly #byName = new Map<Source, ReadonlyMap<string, readonly CertificatePair[]>>();

  /** The sources, the one that wins first. */
  constructor(sources: readonly Source[]) {
    this.#sources = sources;
  }

  /** Replaces all certificates of one source at once; connections under way keep theirs. */
  set(source: Source, pairs: Iterable<CertificatePair>): void {
    this.#byName.set(source, indexByName(pairs));
  }

  /** The certificate for a canonical host name; from memory, never throws. `now` is ms since the epoch. */
  lookup(
    name: string,
    { now = Date.now(), sources = this.#sources }: { now?: number; sources?: readonly Source[] } = {},
  ): CertificatePair | undefined {
    let expired: CertificatePair | undefined;
    for (const source of sources) {
      for (const pair of this.#candidates(source, name)) {
        if (isCurrent(pair, now)) return pair;
        expired ??= pair;
      }
    }
    return expired;
  }

  #candidates(source: Source, name: string): readonly CertificatePair[] {
    const byName = this.#byName.get(source);
    if (byName === undefined) return [];
    const wildcard = wildcardOf(name);
    return [...byName.get(name) ?? [], ...wildcard === undefined ? [] : byName.get(wildcard) ?? []];
  }
}

function indexByName(pairs: Iterable<CertificatePair>): Map<string, CertificatePair[]> {
  const byName = new Map<string, CertificatePair[]>();
  for (const pair of pairs) {
    for (const name of pair.names) {
      const known = byName.get(name);
      if (known === undefined) byName.set(name, [pair]);
      else known.push(pair);
    }
  }
  for (const known of byName.values()) known.sort((a, b) => b.notAfter.getTime() - a.notAfter.getTime());
  return byName;
}
