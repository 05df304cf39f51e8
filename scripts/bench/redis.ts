import { ChildProcess } from "../child_process.ts";
import { freePort } from "../free_port.ts";
import { runTool } from "./tools.ts";

/** As many as `redis-benchmark` opens by itself. */
const CONNECTIONS = 50;
const TIMEOUT_MS = 120_000;

/** Starts a redis that writes nothing to disk; gives its port. */
export async function startRedis(stack: AsyncDisposableStack, redis: string): Promise<number> {
  const port = freePort();
  const args = ["--port", `${port}`, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"];
  await stack.use(ChildProcess.start(redis, { args })).line(/Ready to accept connections/);
  return port;
}

/** What `redis-benchmark` does. */
export interface RedisLoad {
  readonly host: string;
  readonly port: number;
  /** What its command line begins with. */
  readonly prefix: readonly string[];
  /** Requests on their way at once on each connection. */
  readonly pipeline: number;
  /** Of each kind. */
  readonly requests: number;
}

/** Requests a second, as many SET as GET: `redis-benchmark -c 50`. @throws {Error} when it does not say so */
export async function redisRequests(benchmark: string, load: RedisLoad): Promise<number> {
  const { host, port, prefix, pipeline, requests } = load;
  const place = ["-h", host, "-p", `${port}`, "-c", `${CONNECTIONS}`, "-P", `${pipeline}`];
  const [program, ...args] = [...prefix, benchmark, ...place, "-n", `${requests}`, "-t", "set,get", "--csv"];
  const text = await runTool(program!, args, { timeoutMs: TIMEOUT_MS });
  const rates = ["SET", "GET"].map((name) => Number(new RegExp(`^"${name}","([\\d.]+)"`, "m").exec(text)?.[1]));
  const total = rates.length / rates.reduce((sum, rate) => sum + 1 / rate, 0);
  if (!Number.isFinite(total)) throw new Error(`Cannot measure: redis-benchmark says ${text}`);
  return total;
}
