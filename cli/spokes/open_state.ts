import { join } from "node:path";
import { CodedError } from "../../protocol/errors.ts";
import { DEFAULT_LISTENERS } from "../../server/default_listeners.ts";
import { openServerState, type ServerState } from "../../server/state/server_state.ts";
import { openSqliteStore } from "../../server/store/sqlite_store.ts";
import { prepareStateFolder, STORE_FILE } from "../../server/store/state_folder.ts";
import type { LoadedServerConfig } from "./config_path.ts";
import { stateFolderOf } from "./server_options.ts";

/** What the server remembers, opened beside a running server: both see each other's changes at once. */
export interface OpenState extends AsyncDisposable {
  readonly state: ServerState;
}

/** Opens the state of a configured server. @throws {CodedError} STATE_UNAVAILABLE */
export async function openState(loaded: LoadedServerConfig): Promise<OpenState> {
  const folder = stateFolderOf(loaded);
  await prepareStateFolder(folder);
  const { config } = loaded;
  const stack = new AsyncDisposableStack();
  try {
    const store = stack.use(await openSqliteStore(join(folder, STORE_FILE)));
    const state = stack.use(
      await openServerState(store, {
        domain: config.domain,
        hostname: config.hostname ?? config.domain,
        ports: config.tcp?.ports ?? DEFAULT_LISTENERS.tcp,
      }),
    );
    return { state, [Symbol.asyncDispose]: () => stack.disposeAsync() };
  } catch (error) {
    await stack.disposeAsync();
    throw error;
  }
}

/** Whether there is anything to open: looking must not make files. */
export async function storeExists(loaded: LoadedServerConfig): Promise<boolean> {
  try {
    return (await Deno.stat(join(stateFolderOf(loaded), STORE_FILE))).isFile;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound || error instanceof Deno.errors.NotADirectory) return false;
    throw new CodedError("STATE_UNAVAILABLE", `Cannot look into ${stateFolderOf(loaded)}`, { cause: error });
  }
}
