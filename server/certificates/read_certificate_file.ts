import { type CertificatePair, holdsKey, holdsOnlyAuthorities, readCertificatePair } from "../../net/certificate.ts";
import { CodedError, toCodedError } from "../../protocol/errors.ts";
import { type CertificateFile, reasonOf } from "./certificate_files.ts";

/** What is in a file: a pair, a fault, or no certificate of ours (of an authority, or a part of a chain beside it). */
export type CertificateReading =
  | { readonly kind: "pair"; readonly pair: CertificatePair }
  | { readonly kind: "fault"; readonly fault: CodedError }
  | { readonly kind: "none" };

/** A chain with its key has 10 KiB; what is larger is something else. */
const MAX_PEM_BYTES = 256 * 1024;

const WRITABLE_BY_OTHERS = 0o022;
const READABLE_BY_WORLD = 0o004;

/** Reads a certificate and its key. Never throws. */
export async function readCertificateFile(file: CertificateFile): Promise<CertificateReading> {
  const what = `"${file.path}"`;
  try {
    const certificate = await readPem(file.path);
    if (file.keyPath === undefined && !holdsKey(certificate.text)) return withoutKey(file, certificate.text);
    const key = file.keyPath === undefined ? certificate : await readPem(file.keyPath);
    requirePrivate(file.keyPath ?? file.path, key.info);
    return { kind: "pair", pair: readCertificatePair({ certificate: certificate.text, key: key.text }, what) };
  } catch (error) {
    return { kind: "fault", fault: toCodedError(error, "CERTIFICATE_INVALID") };
  }
}

function withoutKey(file: CertificateFile, text: string): CertificateReading {
  if (file.isPart || holdsOnlyAuthorities(text)) return { kind: "none" };
  throw new CodedError(
    "CERTIFICATE_INVALID",
    `Cannot use "${file.path}": there is no key in it or beside it, in a file of the same name that ends in .key`,
  );
}

async function readPem(path: string): Promise<{ text: string; info: Deno.FileInfo }> {
  try {
    using file = await Deno.open(path);
    const info = await file.stat();
    if (!info.isFile) throw new Error("it is not a file");
    const bytes = new Uint8Array(MAX_PEM_BYTES + 1);
    let length = 0;
    for (let read: number | null = 0; read !== null && length < bytes.length; length += read ?? 0) {
      read = await file.read(bytes.subarray(length));
    }
    if (length > MAX_PEM_BYTES) throw new Error(`it is larger than ${MAX_PEM_BYTES} bytes`);
    return { text: new TextDecoder().decode(bytes.subarray(0, length)), info };
  } catch (cause) {
    throw new CodedError("CERTIFICATE_INVALID", `Cannot read "${path}": ${reasonOf(cause)}`, { cause });
  }
}

/** Who else can read a key can be us, and who can write it decides what visitors see (security R15); 0640 root:spokes is right. */
function requirePrivate(path: string, { mode, uid }: Deno.FileInfo): void {
  // Windows has no such bits.
  if (mode === null || Deno.build.os === "windows") return;
  const fault = uid !== null && uid !== 0 && uid !== Deno.uid()
    ? `it belongs to user ${uid}, not to root or to the server's; run chown`
    : (mode & WRITABLE_BY_OTHERS) !== 0
    ? "others may write it; run chmod 600"
    : (mode & READABLE_BY_WORLD) !== 0
    ? "everybody may read it; run chmod 600"
    : undefined;
  if (fault !== undefined) throw new CodedError("CERTIFICATE_INVALID", `Cannot trust the key "${path}": ${fault}`);
}
