import { dirname } from "node:path";
import { CodedError } from "../../protocol/errors.ts";

/** Name of the store within the state folder. */
export const STORE_FILE = "state.db";

/**
 * Creates `folder` (0700) when missing, and refuses one that others could write to: `STATE_UNAVAILABLE` with the path.
 * Root may use a folder of any owner, so that an operator's command works on the state of a service user.
 */
export async function prepareStateFolder(folder: string): Promise<void> {
  try {
    await Deno.mkdir(folder, { recursive: true, mode: 0o700 });
    const info = await Deno.stat(folder);
    if (!info.isDirectory) throw new Error("it is not a folder");
    if (Deno.build.os === "windows") return;
    if (((info.mode ?? 0) & 0o022) !== 0) throw new Error("others may write to it; run chmod 700");
    checkOwner(info);
  } catch (error) {
    throw unavailable(folder, error);
  }
}

/** Creates `path` (0600) when missing, and refuses one that others can read or that is no plain file: `STATE_UNAVAILABLE`. */
export async function prepareStateFile(path: string): Promise<void> {
  try {
    await createPrivateFile(path);
    await checkPrivateFile(path);
  } catch (error) {
    throw unavailable(path, error);
  }
}

/** Reads a secret of the state; null when there is none. Throws `STATE_UNAVAILABLE` as `prepareStateFile` does. */
export async function readStateFile(path: string): Promise<string | null> {
  try {
    await checkPrivateFile(path);
    return await Deno.readTextFile(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return null;
    throw unavailable(path, error);
  }
}

/**
 * Writes a secret of the state (0600): the old or the new content is there, never a part, and it is on disk when this returns.
 * With `ifMissing` a file that somebody else has just made stays as it is. Throws `STATE_UNAVAILABLE`.
 */
export async function writeStateFile(
  path: string,
  text: string,
  { ifMissing = false }: { readonly ifMissing?: boolean } = {},
): Promise<void> {
  const temporary = `${path}.${crypto.randomUUID()}.tmp`;
  try {
    await writeNewFile(temporary, text);
    try {
      await (ifMissing ? linkIfMissing(temporary, path) : Deno.rename(temporary, path));
    } catch (error) {
      await Deno.remove(temporary);
      throw error;
    }
    await syncFolder(dirname(path));
  } catch (error) {
    throw unavailable(path, error);
  }
}

/** A hard link is the one way to give a name that fails when the name is taken; not every file system has them. */
async function linkIfMissing(temporary: string, path: string): Promise<void> {
  try {
    await Deno.link(temporary, path);
  } catch (error) {
    if (!(error instanceof Deno.errors.AlreadyExists)) return await Deno.rename(temporary, path);
  }
  await Deno.remove(temporary);
}

/** A new name is on disk only when its folder is; Windows neither needs nor offers it. */
async function syncFolder(folder: string): Promise<void> {
  if (Deno.build.os === "windows") return;
  using handle = await Deno.open(folder);
  await handle.sync();
}

async function writeNewFile(path: string, text: string): Promise<void> {
  using file = await Deno.open(path, { write: true, createNew: true, mode: 0o600 });
  const bytes = new TextEncoder().encode(text);
  for (let written = 0; written < bytes.length;) written += await file.write(bytes.subarray(written));
  await file.sync();
}

async function checkPrivateFile(path: string): Promise<void> {
  const info = await Deno.lstat(path);
  if (!info.isFile) throw new Error("it is not a plain file");
  if (Deno.build.os === "windows") return;
  if (((info.mode ?? 0) & 0o077) !== 0) throw new Error("others may open it; run chmod 600");
  checkOwner(info);
}

async function createPrivateFile(path: string): Promise<void> {
  try {
    // createNew never follows a link, so no file elsewhere can be made through the state folder.
    (await Deno.open(path, { write: true, createNew: true, mode: 0o600 })).close();
  } catch (error) {
    if (!(error instanceof Deno.errors.AlreadyExists)) throw error;
  }
}

function checkOwner(info: Deno.FileInfo): void {
  const self = Deno.uid();
  if (self !== 0 && info.uid !== null && info.uid !== 0 && info.uid !== self) {
    throw new Error(`it belongs to user ${info.uid}, not to you (${self})`);
  }
}

function unavailable(path: string, error: unknown): CodedError {
  const reason = error instanceof Error ? error.message : String(error);
  return new CodedError("STATE_UNAVAILABLE", `Cannot use "${path}": ${reason}`, { cause: error });
}
