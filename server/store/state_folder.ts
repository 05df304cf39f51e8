import { CodedError } from "../../protocol/errors.ts";

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
    const info = await Deno.lstat(path);
    if (!info.isFile) throw new Error("it is not a plain file");
    if (Deno.build.os === "windows") return;
    if (((info.mode ?? 0) & 0o077) !== 0) throw new Error("others may open it; run chmod 600");
    checkOwner(info);
  } catch (error) {
    throw unavailable(path, error);
  }
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
