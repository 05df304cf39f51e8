import { createHash } from "node:crypto";
import { join } from "node:path";
import { CodedError } from "../../protocol/errors.ts";
import { isHostName } from "../../protocol/host_name.ts";
import { type CertificatePair, coverageFault, readCertificatePair, validityFault } from "../certificate.ts";
import { preparePrivateFolder, readPrivateFile, writePrivateFile } from "./private_file.ts";

/** What is stored for some names. `broken`: there is a file, but it must not be used. */
export type StoredCertificate =
  | { readonly kind: "usable"; readonly pair: CertificatePair }
  | { readonly kind: "missing" }
  | { readonly kind: "broken"; readonly error: CodedError };

/** Whether an order may have the name: a canonical host name of two labels or more, or a wildcard of one. */
export function isOrderName(name: string): boolean {
  const host = name.startsWith("*.") ? name.slice(2) : name;
  return isHostName(host) && host.includes(".");
}

/**
 * The certificates that were issued, one file for each set of names: the key and behind it the chain, so that both are replaced by
 * one rename and can never belong to different orders. Programs like HAProxy read such a file as it is.
 */
export class CertificateFiles {
  readonly #folder: string;

  constructor(folder: string) {
    this.#folder = folder;
  }

  /** Where the certificate of these names is. @throws {CodedError} NAME_INVALID */
  pathOf(names: readonly string[]): string {
    return join(this.#folder, `${fileStem(names)}.pem`);
  }

  /** What is there, checked as far as it can be before use. */
  async load(names: readonly string[], now: number): Promise<StoredCertificate> {
    try {
      const path = this.pathOf(names);
      const text = await readPrivateFile(path);
      if (text === null) return { kind: "missing" };
      return { kind: "usable", pair: checkFor(names, { text, what: `"${path}"`, now }) };
    } catch (error) {
      if (error instanceof CodedError) return { kind: "broken", error };
      throw error;
    }
  }

  /** Stores a pair in place of the one before. @throws {CodedError} STATE_UNAVAILABLE */
  async save(names: readonly string[], { certificate, key }: CertificatePair): Promise<void> {
    await preparePrivateFolder(this.#folder);
    await writePrivateFile(this.pathOf(names), `${key.trimEnd()}\n${certificate.trimEnd()}\n`);
  }
}

/** Reads key and chain in one text; they must belong together, cover all names, and be valid now. @throws {CodedError} */
export function checkFor(
  names: readonly string[],
  { text, what, now }: { text: string; what: string; now: number },
): CertificatePair {
  const pair = readCertificatePair({ certificate: text, key: text }, what);
  for (const name of names) {
    const fault = coverageFault(pair, name, what);
    if (fault !== undefined) throw fault;
  }
  const fault = validityFault(pair, { what, now });
  if (fault !== undefined) throw fault;
  return pair;
}

/** `_wildcard.example.com`, or of several names the first and a digest of all: no two sets of names share a file. */
function fileStem(names: readonly string[]): string {
  const [first] = names;
  if (first === undefined || !names.every(isOrderName)) {
    throw new CodedError(
      "NAME_INVALID",
      `Cannot get a certificate for ${JSON.stringify(names)}: no valid domain names`,
    );
  }
  const stem = first.replace(/^\*\./, "_wildcard.");
  if (names.length === 1) return stem;
  const all = createHash("sha256").update([...names].sort().join(" ")).digest("hex");
  return `${stem}+${all.slice(0, 16)}`;
}
