import { delay } from "../net/delay.ts";
import { CodedError } from "../protocol/errors.ts";

/** How long a command waits for another one's edit, which takes a few milliseconds. */
const LOCK_TIMEOUT_MS = 5_000;
const LOCK_POLL_MS = 20;

/**
 * Holds `path` (a lock file of its own, holding the owner's process id) until disposed. The kernel frees it when its owner
 * dies, however it dies, so a lock is never stale.
 * @throws {CodedError} CONFIG_LOCKED naming the process, or CONFIG_UNWRITABLE.
 */
export async function lockFile(path: string, options: { timeoutMs?: number } = {}): Promise<AsyncDisposable> {
  const deadline = Date.now() + (options.timeoutMs ?? LOCK_TIMEOUT_MS);
  while (true) {
    const file = await tryLock(path);
    if (file !== undefined) return { [Symbol.asyncDispose]: () => unlock(path, file) };
    if (Date.now() >= deadline) {
      throw new CodedError("CONFIG_LOCKED", `Cannot lock ${path}: process ${await ownerOf(path)} holds it`);
    }
    await delay(LOCK_POLL_MS);
  }
}

async function tryLock(path: string): Promise<Deno.FsFile | undefined> {
  const file = await openLock(path);
  try {
    if (await file.tryLock(true) && await isStill(path, file)) {
      await file.truncate();
      await file.write(new TextEncoder().encode(`${Deno.pid}\n`));
      return file;
    }
    file.close();
    return undefined;
  } catch (cause) {
    file.close();
    throw unwritable(path, cause);
  }
}

async function openLock(path: string): Promise<Deno.FsFile> {
  try {
    return await Deno.open(path, { read: true, write: true, create: true, mode: 0o600 });
  } catch (cause) {
    throw unwritable(path, cause);
  }
}

/** Whether the name still leads to the file that was locked: its former holder may have removed it in between. */
async function isStill(path: string, file: Deno.FsFile): Promise<boolean> {
  if (Deno.build.os === "windows") return true;
  try {
    return (await Deno.stat(path)).ino === (await file.stat()).ino;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}

async function unlock(path: string, file: Deno.FsFile): Promise<void> {
  try {
    // Removed while held, so that nobody can lock a name that is about to vanish. Windows does not let go of open files.
    if (Deno.build.os !== "windows") await Deno.remove(path);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw unwritable(path, error);
  } finally {
    file.close();
  }
}

async function ownerOf(path: string): Promise<string> {
  try {
    return (await Deno.readTextFile(path)).trim() || "unknown";
  } catch {
    // It was freed this very moment; the name of its owner is a courtesy.
    return "unknown";
  }
}

function unwritable(path: string, cause: unknown): CodedError {
  const reason = cause instanceof Error ? cause.message : String(cause);
  return new CodedError("CONFIG_UNWRITABLE", `Cannot lock ${path}: ${reason}`, { cause });
}
