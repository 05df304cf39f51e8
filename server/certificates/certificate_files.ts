import { join } from "node:path";
import { CodedError } from "../../protocol/errors.ts";

/** A file that should hold a certificate, and where its key is. */
export interface CertificateFile {
  /** Below the folder, where it is one of a folder. */
  readonly file: string;
  readonly path: string;
  /** Undefined when the key can only be in the file itself. */
  readonly keyPath: string | undefined;
  /** It stands beside a full chain: without a key it is a part of that, and nobody's mistake. */
  readonly isPart: boolean;
  /** Changes with every edit of the certificate or the key. */
  readonly stamp: string;
}

/** What a look through the folder found. */
export interface FoundCertificates {
  readonly files: readonly CertificateFile[];
  /** Folders below that cannot be read now, each with the reason. */
  readonly unreadable: ReadonlyMap<string, string>;
}

/** A certificate and its key in files of the operator's; new ones are used as soon as they are there. */
export interface CertificatePaths {
  readonly certificateFile: string;
  readonly keyFile: string;
}

/** Enough for `letsencrypt/live/NAME`, and the end of links that lead in a circle. */
const MAX_DEPTH = 3;
/** A look must stay cheap: each file costs a `stat`, every two seconds. */
const MAX_FILES = 10_000;

const CERTIFICATE = /\.(?:pem|crt|cer)$/i;
const KEY = /\.key$|(?:^|[-_.])(?:priv)?key\.pem$/i;
const FULL_CHAIN = /^fullchain\.(?:pem|crt|cer)$/i;

/**
 * Looks for certificates in a folder and those below it, links followed; what begins with a dot is left alone.
 * @throws {CodedError} CERTIFICATE_INVALID when the folder cannot be read, or holds too much
 */
export async function findCertificateFiles(folder: string): Promise<FoundCertificates> {
  const walk = new Walk(folder);
  try {
    await walk.visit("", 0);
  } catch (error) {
    if (error instanceof CodedError) throw error;
    throw new CodedError("CERTIFICATE_INVALID", `Cannot read the certificates in "${folder}": ${reasonOf(error)}`, {
      cause: error,
    });
  }
  return { files: walk.files, unreadable: walk.unreadable };
}

/** The one certificate whose files are known. Never throws: whoever reads them says what is wrong. */
export async function certificateFileAt({ certificateFile, keyFile }: CertificatePaths): Promise<CertificateFile> {
  const infos = await Promise.all([certificateFile, keyFile].map(statOrNull));
  const stamp = infos.map((info) => info === null ? "" : stampOf(info)).join(" ");
  return { file: certificateFile, path: certificateFile, keyPath: keyFile, isPart: false, stamp };
}

/** What an error of the file system says, without the call it came from. */
export function reasonOf(error: unknown): string {
  const message = error instanceof Error ? error.message : String(error);
  return message.replace(/: \w+ '.*'$/, "");
}

class Walk {
  readonly files: CertificateFile[] = [];
  readonly unreadable = new Map<string, string>();
  readonly #folder: string;
  #seen = 0;

  constructor(folder: string) {
    this.#folder = folder;
  }

  async visit(below: string, depth: number): Promise<void> {
    const stamps = new Map<string, string>();
    const folders: string[] = [];
    for await (const { name } of Deno.readDir(join(this.#folder, below))) {
      if (name.startsWith(".")) continue; // Kubernetes' `..data`, and files that a program has not finished.
      this.#count();
      const info = await statOrNull(join(this.#folder, below, name));
      if (info?.isDirectory) folders.push(name);
      else if (info?.isFile) stamps.set(name, stampOf(info));
    }
    this.#pairUp(below, stamps);
    if (depth === MAX_DEPTH) return;
    for (const name of folders.sort()) await this.#visitBelow(join(below, name), depth + 1);
  }

  async #visitBelow(below: string, depth: number): Promise<void> {
    try {
      await this.visit(below, depth);
    } catch (error) {
      if (error instanceof CodedError) throw error;
      this.unreadable.set(below, reasonOf(error));
    }
  }

  #count(): void {
    if (++this.#seen <= MAX_FILES) return;
    throw new CodedError(
      "CERTIFICATE_INVALID",
      `Cannot read the certificates in "${this.#folder}": there are more than ${MAX_FILES} files; take out what is not one`,
    );
  }

  #pairUp(below: string, stamps: ReadonlyMap<string, string>): void {
    for (const { name, key, isPart } of pairNames([...stamps.keys()].sort())) {
      const file = join(below, name);
      this.files.push({
        file,
        path: join(this.#folder, file),
        keyPath: key === undefined ? undefined : join(this.#folder, below, key),
        isPart,
        stamp: `${stamps.get(name)} ${key === undefined ? "" : stamps.get(key)}`,
      });
    }
  }
}

/** Which file of one folder goes with which key, by their names. */
function pairNames(names: readonly string[]): { name: string; key: string | undefined; isPart: boolean }[] {
  const keys = new Set(names.filter((name) => KEY.test(name)));
  const certificates = names.filter((name) => CERTIFICATE.test(name) && !KEY.test(name));
  const fullChain = certificates.find((name) => FULL_CHAIN.test(name));
  const fullKey = fullChain === undefined ? undefined : keyOf(fullChain, keys);
  return certificates
    .map((name) => ({ name, key: keyOf(name, keys), isPart: fullChain !== undefined && name !== fullChain }))
    // certbot's cert.pem, and NAME.cer of acme.sh, which lack what is between them and the authority.
    .filter(({ key, isPart }) => !isPart || key === undefined || key !== fullKey);
}

/**
 * | certificate                                  | its key                                                             |
 * | -------------------------------------------- | ------------------------------------------------------------------- |
 * | `NAME.crt`, `NAME.pem`, `NAME.crt.pem`       | `NAME.key`, `NAME.key.pem`, `NAME-key.pem`, `NAME_key.pem`          |
 * | `fullchain.pem`, `cert.pem`                  | `privkey.pem`, `key.pem`                                            |
 * | `fullchain.cer`                              | the only `.key` there is                                            |
 */
function keyOf(name: string, keys: ReadonlySet<string>): string | undefined {
  const stem = name.replace(CERTIFICATE, "").replace(/\.(?:crt|cer|cert)$/i, "");
  const own = [".key", ".key.pem", "-key.pem", "_key.pem"].map((ending) => stem + ending);
  const isFullChain = FULL_CHAIN.test(name);
  const usual = isFullChain || stem === "cert" ? ["privkey.pem", "key.pem"] : [];
  const found = [...own, ...usual].find((key) => keys.has(key));
  if (found !== undefined || !isFullChain) return found;
  const [only, ...others] = keys;
  return others.length === 0 ? only : undefined;
}

/** Null for what has gone meanwhile, and for a link that leads nowhere. */
async function statOrNull(path: string): Promise<Deno.FileInfo | null> {
  try {
    return await Deno.stat(path);
  } catch {
    return null;
  }
}

function stampOf(info: Deno.FileInfo): string {
  return [info.dev, info.ino, info.size, info.mtime?.getTime(), info.ctime?.getTime(), info.mode, info.uid].join(":");
}
