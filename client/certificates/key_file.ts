import { CodedError } from "../../protocol/errors.ts";

/** Larger than any chain of certificates with its key. */
const MAX_FILE_BYTES = 256 * 1024;
/** A key may be read by a group that was given it on purpose (0640 root:pktriot), never by everybody; written by the owner alone. */
const FOREIGN_BITS = 0o027;

const NO_FILE = "it is not a regular file, which can be read again when it changes";

/** What a file looks like from outside, the same while it is as it was; empty for one that cannot be looked at. */
export async function fileStamp(path: string): Promise<string> {
  try {
    const { mtime, ctime, size, ino, mode, uid } = await Deno.stat(path);
    return [mtime?.getTime(), ctime?.getTime(), size, ino, mode, uid].join(" ");
  } catch {
    return ""; // Whoever reads it says why.
  }
}

/** Reads a certificate file. @throws {CodedError} CERTIFICATE_INVALID */
export function readCertificateFile(path: string): Promise<string> {
  return readSmallFile(path, () => undefined);
}

/** Reads a file with a private key, which others may not read (security R15). @throws {CodedError} CERTIFICATE_INVALID */
export function readKeyFile(path: string): Promise<string> {
  return readSmallFile(path, exposure);
}

async function readSmallFile(path: string, complaint: (info: Deno.FileInfo) => string | undefined): Promise<string> {
  try {
    // Before it is opened: whoever opens a FIFO waits for its other end.
    if (!(await Deno.stat(path)).isFile) throw unusable(path, NO_FILE);
    using file = await Deno.open(path);
    // Of the file that is open: what is checked is what is read.
    const info = await file.stat();
    const reason = !info.isFile
      ? NO_FILE
      : info.size > MAX_FILE_BYTES
      ? `it is larger than ${MAX_FILE_BYTES} bytes`
      : complaint(info);
    if (reason !== undefined) throw unusable(path, reason);
    return await new Response(file.readable).text();
  } catch (error) {
    if (error instanceof CodedError) throw error;
    if (error instanceof Deno.errors.NotFound) throw unusable(path, "it does not exist", error);
    if (error instanceof Deno.errors.PermissionDenied) throw unusable(path, "permission denied", error);
    throw unusable(path, error instanceof Error ? error.message : String(error), error);
  }
}

function exposure({ mode, uid }: Deno.FileInfo): string | undefined {
  if (Deno.build.os === "windows") return undefined;
  // Root too: whoever owns a file can open it to others, and put another in its place.
  if (uid !== null && uid !== 0 && uid !== Deno.uid()) {
    return "it belongs to another user; use a copy of your own";
  }
  if (((mode ?? 0) & FOREIGN_BITS) !== 0) return "others may open it; run chmod 600";
  return undefined;
}

function unusable(path: string, reason: string, cause?: unknown): CodedError {
  return new CodedError("CERTIFICATE_INVALID", `Cannot use "${path}": ${reason}`, { cause });
}
