import { dirname } from "node:path";
import { CodedError } from "../protocol/errors.ts";

/** Owner and mode of a file that is written; `null` where the platform has none. */
export interface FileAccess {
  mode: number | null;
  uid: number | null;
  gid: number | null;
}

/** Access of a new file that holds a secret: its writer's alone. */
export const PRIVATE: FileAccess = { mode: 0o600, uid: null, gid: null };

/** A file being written beside its final place. Until `commit()` nothing is seen there; disposing without it leaves no trace. */
export interface FileReplacement extends AsyncDisposable {
  /** Where it is until then. */
  readonly path: string;
  write(text: string): Promise<void>;
  /** Makes it durable and gives it its name. */
  commit(): Promise<void>;
}

/**
 * Starts to replace (or create) `path`. Everything that may fail for lack of rights fails here, before anything is done
 * that cannot be undone (such as spending an invite).
 * @throws {CodedError} CONFIG_UNWRITABLE
 */
export async function replaceFile(path: string, access: FileAccess): Promise<FileReplacement> {
  const temporary = `${path}.${Deno.pid}.${crypto.randomUUID().slice(0, 8)}.tmp`;
  const file = await guard(path, () => Deno.open(temporary, { write: true, createNew: true, mode: 0o600 }));
  let open = true;
  let named = false;
  function close(): void {
    if (open) file.close();
    open = false;
  }
  async function dispose(): Promise<void> {
    close();
    if (!named) await Deno.remove(temporary).catch(ignoreMissing);
  }
  try {
    await guard(path, () => giveAccess(temporary, access));
  } catch (error) {
    await dispose();
    throw error;
  }
  return {
    path: temporary,
    write: (text) => guard(path, () => writeAll(file, text)),
    commit: () =>
      guard(path, async () => {
        await file.sync();
        close();
        await Deno.rename(temporary, path);
        named = true;
        await syncFolder(dirname(path));
      }),
    [Symbol.asyncDispose]: dispose,
  };
}

async function giveAccess(path: string, { mode, uid, gid }: FileAccess): Promise<void> {
  if (Deno.build.os === "windows") return;
  const now = await Deno.stat(path);
  const owner = uid ?? now.uid;
  const group = gid ?? now.gid;
  // Only when needed: an ordinary user may not chown, not even to what is so already on some systems.
  if (owner !== now.uid || group !== now.gid) await Deno.chown(path, owner, group);
  if (mode !== null) await Deno.chmod(path, mode & 0o777);
}

async function writeAll(file: Deno.FsFile, text: string): Promise<void> {
  const bytes = new TextEncoder().encode(text);
  for (let sent = 0; sent < bytes.length;) sent += await file.write(bytes.subarray(sent));
}

/** A rename is durable only when its folder is. */
async function syncFolder(path: string): Promise<void> {
  if (Deno.build.os === "windows") return;
  using folder = await Deno.open(path, { read: true });
  await folder.sync();
}

async function guard<T>(path: string, action: () => Promise<T>): Promise<T> {
  try {
    return await action();
  } catch (cause) {
    if (cause instanceof CodedError) throw cause;
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new CodedError("CONFIG_UNWRITABLE", `Cannot write ${path}, which is as it was: ${reason}`, { cause });
  }
}

function ignoreMissing(error: unknown): void {
  if (!(error instanceof Deno.errors.NotFound)) throw error;
}
