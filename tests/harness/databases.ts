import { join } from "node:path";
import { tempDir } from "./machine.ts";
import { spawn } from "./programs.ts";
import { freePort } from "./tcp_target.ts";

/** A real database on a free port of loopback, with nothing in it. */
export interface Database extends AsyncDisposable {
  readonly port: number;
  /** `127.0.0.1:port`, as a rule's target. */
  readonly address: string;
}

/** Starts redis, which keeps nothing on disk. */
export async function startRedis(): Promise<Database> {
  await using stack = new AsyncDisposableStack();
  const folder = stack.use(await tempDir());
  const port = await freePort();
  const options = ["--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", folder.path];
  const redis = stack.use(spawn("redis-server", ["--port", `${port}`, ...options]));
  await redis.printed(/Ready to accept connections/);
  return withStack(port, stack);
}

/** Programs that {@link startMariadb} and its client need. */
export const MARIADB_PROGRAMS: readonly string[] = ["mariadbd", "mariadb"];

/** Starts MariaDB in a folder of its own. It has no tables of users: whoever comes may do everything. */
export async function startMariadb(): Promise<Database> {
  await using stack = new AsyncDisposableStack();
  const folder = stack.use(await tempDir());
  const port = await freePort();
  const data = join(folder.path, "data");
  await Deno.mkdir(data);
  const config = await folder.write(
    "my.cnf",
    `[mariadbd]\ndatadir=${data}\nsocket=${join(folder.path, "sock")}\npid-file=${join(folder.path, "pid")}\n` +
      `bind-address=127.0.0.1\nport=${port}\nskip-grant-tables\nskip-log-bin\nskip-name-resolve\n` +
      "innodb-log-file-size=4M\ninnodb-buffer-pool-size=32M\ninnodb-flush-method=nosync\ninnodb-use-native-aio=0\n",
  );
  // Only root is asked whom to run as.
  const user = Deno.uid() === 0 ? ["--user=root"] : [];
  const mariadb = stack.use(spawn("mariadbd", [`--defaults-file=${config}`, ...user]));
  await mariadb.printed(/ready for connections/);
  return withStack(port, stack);
}

function withStack(port: number, stack: AsyncDisposableStack): Database {
  const all = stack.move();
  return { port, address: `127.0.0.1:${port}`, [Symbol.asyncDispose]: () => all.disposeAsync() };
}
