import { join } from "node:path";
import { tempDir } from "./machine.ts";
import { run, spawn } from "./programs.ts";
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
export const MARIADB_PROGRAMS: readonly string[] = ["mariadbd", "mariadb-install-db", "mariadb"];

/** Starts MariaDB in a folder of its own; `root` needs no password. */
export async function startMariadb(): Promise<Database> {
  await using stack = new AsyncDisposableStack();
  const folder = stack.use(await tempDir());
  const port = await freePort();
  // Only root is asked whom to run as.
  const user = Deno.uid() === 0 ? ["--user=root"] : [];
  const config = await folder.write(
    "my.cnf",
    `[mariadbd]\ndatadir=${join(folder.path, "data")}\nsocket=${join(folder.path, "sock")}\n` +
      `pid-file=${join(folder.path, "pid")}\nbind-address=127.0.0.1\nport=${port}\n` +
      "innodb-log-file-size=4M\ninnodb-flush-method=nosync\nskip-log-bin\nskip-name-resolve\n",
  );
  const options = [`--defaults-file=${config}`, ...user];
  const { code, stdout, stderr } = await run("mariadb-install-db", [
    ...[...options, "--auth-root-authentication-method=normal", "--skip-test-db"],
  ]);
  if (code !== 0) throw new Error(`Cannot make a database: ${stdout}${stderr}`);
  const mariadb = stack.use(spawn("mariadbd", options));
  await mariadb.printed(/ready for connections/);
  return withStack(port, stack);
}

function withStack(port: number, stack: AsyncDisposableStack): Database {
  const all = stack.move();
  return { port, address: `127.0.0.1:${port}`, [Symbol.asyncDispose]: () => all.disposeAsync() };
}
