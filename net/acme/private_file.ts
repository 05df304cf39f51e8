import { dirname } from "node:path";
import { CodedError } from "../../protocol/errors.ts";

/** Larger than any chain of certificates with its key. */
const MAX_FILE_BYTES = 256 * 1024;
/** Others may neither read nor write what holds a key (security R15). */
const OTHERS = 0o077;

/** Creates `folder` (0700) with its parents. @throws {CodedError} STATE_UNAVAILABLE, also when others may write to it */
export async function preparePrivateFolder(folder: string): Promise<void> {
  await guard(folder, async () => {
    await Deno.mkdir(folder, { recursive: true, mode: 0o700 });
    const info = await Deno.stat(folder);
    if (!info.isDirectory) throw new Error("it is not a folder");
    if (isOpenTo(info, 0o022)) throw new Error("others may write to it; run chmod 700");
  });
}

/** Reads a file that holds a key; null when there is none. @throws {CodedError} STATE_UNAVAILABLE, also when others may open it */
export function readPrivateFile(path: string, maxBytes: number = MAX_FILE_BYTES): Promise<string | null> {
  return guard(path, async () => {
    try {
      // Not through a link, and of the file that is then open: what is checked is what is read.
      if (!(await Deno.lstat(path)).isFile) throw new Error("it is not a plain file");
      using file = await Deno.open(path, { read: true });
      const info = await file.stat();
      if (isOpenTo(info, OTHERS)) throw new Error("others may open it; run chmod 600");
      if (info.size > maxBytes) throw new Error(`it is larger than ${maxBytes} bytes`);
      return await new Response(file.readable).text();
    } catch (error) {
      if (error instanceof Deno.errors.NotFound) return null;
      throw error;
    }
  });
}

/**
 * Writes a file that holds a key (0600): the old or the new content is there, never a part, and it is on disk when this returns.
 * @throws {CodedError} STATE_UNAVAILABLE
 */
export function writePrivateFile(path: string, text: string): Promise<void> {
  const temporary = `${path}.${crypto.randomUUID()}.tmp`;
  return guard(path, async () => {
    try {
      await writeNew(temporary, new TextEncoder().encode(text));
      await Deno.rename(temporary, path);
    } catch (error) {
      await Deno.remove(temporary).catch(() => {/* it was not made, or has its name already */});
      throw error;
    }
    await syncFolder(dirname(path));
  });
}

async function writeNew(path: string, bytes: Uint8Array): Promise<void> {
  using file = await Deno.open(path, { write: true, createNew: true, mode: 0o600 });
  for (let written = 0; written < bytes.length;) written += await file.write(bytes.subarray(written));
  await file.sync();
}

/** A new name is on disk only when its folder is; Windows neither needs nor offers it. */
async function syncFolder(folder: string): Promise<void> {
  if (Deno.build.os === "windows") return;
  using handle = await Deno.open(folder);
  await handle.sync();
}

/** Whether somebody else may do what the bits say, or owns the file. */
function isOpenTo({ mode, uid }: Deno.FileInfo, bits: number): boolean {
  if (Deno.build.os === "windows") return false;
  const self = Deno.uid();
  const foreign = uid !== null && uid !== 0 && self !== 0 && uid !== self;
  return foreign || ((mode ?? 0) & bits) !== 0;
}

async function guard<T>(path: string, action: () => Promise<T>): Promise<T> {
  try {
    return await action();
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new CodedError("STATE_UNAVAILABLE", `Cannot use "${path}": ${reason}`, { cause });
  }
}
