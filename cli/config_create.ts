import { dirname } from "node:path";
import { CodedError } from "../protocol/errors.ts";
import { CommandError } from "./command_error.ts";
import { lockFile } from "./file_lock.ts";
import { type FileAccess, type FileReplacement, PRIVATE, replaceFile } from "./replace_file.ts";

/** A configuration that is about to come into being. Disposed without `commit()` it leaves nothing. */
export interface ConfigDraft extends AsyncDisposable {
  /** Writes the whole text and gives the file its name. */
  commit(text: string): Promise<void>;
}

/**
 * Makes sure that a new configuration can be written at `path`, before anything is done that cannot be undone.
 * @throws {CodedError} ALREADY_EXISTS unless `replace`, CONFIG_LOCKED, CONFIG_UNWRITABLE
 */
export async function createConfig(
  path: string,
  options: { replace?: boolean; fix?: string } = {},
): Promise<ConfigDraft> {
  await makeFolder(dirname(path));
  const stack = new AsyncDisposableStack();
  try {
    stack.use(await lockFile(`${path}.lock`));
    const access = await accessOf(path);
    if (access !== undefined && options.replace !== true) {
      throw new CommandError("ALREADY_EXISTS", `There is a configuration at ${path} already`, {
        fix: options.fix ?? "Choose another place, or remove it first.",
      });
    }
    const replacement: FileReplacement = stack.use(await replaceFile(path, access ?? PRIVATE));
    return {
      async commit(text) {
        await replacement.write(text);
        await replacement.commit();
      },
      [Symbol.asyncDispose]: () => stack.disposeAsync(),
    };
  } catch (error) {
    await stack.disposeAsync();
    throw error;
  }
}

async function makeFolder(path: string): Promise<void> {
  try {
    await Deno.mkdir(path, { recursive: true, mode: 0o700 });
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new CodedError("CONFIG_UNWRITABLE", `Cannot make the folder ${path}: ${reason}`, { cause });
  }
}

async function accessOf(path: string): Promise<FileAccess | undefined> {
  try {
    return await Deno.stat(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw new CodedError("CONFIG_UNWRITABLE", `Cannot look at ${path}`, { cause: error });
  }
}
