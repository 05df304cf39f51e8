import { basename, join } from "node:path";
import type { DoorState } from "../../client/doors/door.ts";
import type { CommandContext } from "../command_context.ts";
import { PRIVATE, replaceFile } from "../replace_file.ts";
import { stateFolder } from "./acme_options.ts";
import { SYSTEM_CONFIG_PATH } from "./config_path.ts";

/** Where the service that systemd runs has its state. */
const SYSTEM_STATE_FOLDER = "/var/lib/pktriot";
/** On Windows a file that is locked cannot be read: states are not told there. */
const IS_TOLD = Deno.build.os !== "windows";

/**
 * Tells commands beside a running `start` what became of its doors, in a small file. It is locked as long as its writer lives: the
 * kernel frees it with the process, however that ends, so what is not locked is of the past.
 */
export class DoorStatus implements AsyncDisposable {
  readonly #path: string;
  #file: Deno.FsFile | undefined;
  #turn: Promise<void> = Promise.resolve();

  constructor(context: CommandContext, configPath: string) {
    this.#path = statusPath(stateFolder(context, configPath), configPath);
  }

  /** These are all doors that there are now. */
  tell(states: readonly DoorState[]): void {
    this.#next(() => states.length > 0 ? this.#write(states) : this.#remove());
  }

  /** `start` ends, and its doors with it. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#next(() => this.#remove());
    await this.#turn;
  }

  #next(action: () => Promise<void>): void {
    if (!IS_TOLD) return;
    this.#turn = this.#turn.then(action).catch(() => {
      // The folder may not be ours to write to, and the doors work without it.
    });
  }

  /** Each text is a file of its own, which takes the place of the one before: nobody reads half of it. */
  async #write(states: readonly DoorState[]): Promise<void> {
    await using replacement = await replaceFile(this.#path, PRIVATE);
    await replacement.write(JSON.stringify(states));
    const file = await Deno.open(replacement.path, { read: true, write: true });
    try {
      await file.lock(true);
      await replacement.commit();
    } catch (error) {
      file.close();
      throw error;
    }
    this.#file?.close();
    this.#file = file;
  }

  async #remove(): Promise<void> {
    const file = this.#file;
    this.#file = undefined;
    if (file === undefined) return;
    try {
      // Unless it is that of a `start` which has taken over.
      if ((await Deno.stat(this.#path)).ino === (await file.stat()).ino) await Deno.remove(this.#path);
    } finally {
      file.close();
    }
  }
}

/** What became of the doors of a `start` that runs with this configuration, by their ids; `undefined` when none is known to run. */
export async function readDoorStates(
  context: CommandContext,
  configPath: string,
): Promise<ReadonlyMap<string, DoorState> | undefined> {
  const folders = [stateFolder(context, configPath)];
  if (configPath === SYSTEM_CONFIG_PATH) folders.push(SYSTEM_STATE_FOLDER);
  for (const folder of folders) {
    const states = await readStates(statusPath(folder, configPath));
    if (states !== undefined) return new Map(states.map((state) => [state.id, state]));
  }
  return undefined;
}

async function readStates(path: string): Promise<readonly DoorState[] | undefined> {
  if (!IS_TOLD) return undefined;
  try {
    using file = await Deno.open(path, { read: true });
    if (await file.tryLock(false)) return undefined;
    return parseStates(await Deno.readTextFile(path));
  } catch {
    // None is there, or it is another user's: nothing can be told.
    return undefined;
  }
}

function parseStates(text: string): readonly DoorState[] | undefined {
  const value: unknown = JSON.parse(text);
  return Array.isArray(value) ? value as readonly DoorState[] : undefined;
}

function statusPath(folder: string, configPath: string): string {
  return join(folder, `${basename(configPath)}.doors`);
}
