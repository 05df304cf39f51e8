import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { ChildProcess } from "../child_process.ts";
import { freePort } from "../free_port.ts";
import type { Tool } from "./tools.ts";

/** The body of every answer, as short as that of an API. */
const HELLO = "hello world, this is a local service\n";

/** The services behind the tunnel, each in a process of its own; a port of 127.0.0.1 each. */
export interface Targets extends AsyncDisposable {
  /** nginx with one worker. */
  readonly nginx?: number;
  /** `Deno.serve`. */
  readonly hello: number;
  readonly iperf?: number;
  readonly echo: number;
}

/** Starts them all; what is not installed is left out. */
export async function startTargets(tools: Partial<Record<Tool, string>>): Promise<Targets> {
  await using stack = new AsyncDisposableStack();
  const [hello, echo] = await Promise.all(["hello.ts", "echo.ts"].map((script) => startScript(stack, script)));
  const nginx = tools.nginx === undefined ? undefined : await startNginx(stack, tools.nginx);
  const iperf = tools.iperf3 === undefined ? undefined : await startIperf(stack, tools.iperf3);
  const owned = stack.move();
  return {
    ...{ hello: hello!, echo: echo! },
    ...(nginx === undefined ? {} : { nginx }),
    ...(iperf === undefined ? {} : { iperf }),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

/** A script beside this one that prints its port. */
async function startScript(stack: AsyncDisposableStack, script: string): Promise<number> {
  const path = fileURLToPath(new URL(script, import.meta.url));
  const child = stack.use(ChildProcess.start(Deno.execPath(), { args: ["run", "-A", path] }));
  const [, port] = await child.line(/^port (\d+)$/);
  return Number(port);
}

async function startNginx(stack: AsyncDisposableStack, nginx: string): Promise<number> {
  const folder = await Deno.makeTempDir({ prefix: "spokes-bench-nginx-" });
  stack.defer(() => Deno.remove(folder, { recursive: true }));
  const port = freePort();
  const config = join(folder, "nginx.conf");
  await Deno.writeTextFile(config, nginxConfig({ folder, port }));
  const child = stack.use(
    ChildProcess.start(nginx, { args: ["-p", folder, "-e", join(folder, "error.log"), "-c", config] }),
  );
  await whenListening(port, child);
  return port;
}

/** One worker, as the fixed side is one core; nothing is written, and no connection is closed in the middle of a run. */
function nginxConfig({ folder, port }: { folder: string; port: number }): string {
  return `
daemon off;
worker_processes 1;
pid ${folder}/nginx.pid;
error_log ${folder}/error.log;
events { worker_connections 8192; }
http {
  access_log off;
  keepalive_requests 1000000000;
  keepalive_timeout 3600;
  client_body_temp_path ${folder}/body;
  proxy_temp_path ${folder}/proxy;
  fastcgi_temp_path ${folder}/fastcgi;
  uwsgi_temp_path ${folder}/uwsgi;
  scgi_temp_path ${folder}/scgi;
  server {
    listen 127.0.0.1:${port};
    location / { default_type text/plain; return 200 "${HELLO.trim()}\\n"; }
  }
}
`;
}

async function startIperf(stack: AsyncDisposableStack, iperf3: string): Promise<number> {
  const port = freePort();
  const child = stack.use(ChildProcess.start(iperf3, { args: ["-s", "-p", `${port}`, "--forceflush"] }));
  await child.line(/listening on/);
  return port;
}

/** Waits until something accepts, for programs that do not say so. @throws {Error} when the program ends first */
export async function whenListening(port: number, child?: ChildProcess): Promise<void> {
  let ended = false;
  child?.ended.then(() => ended = true);
  for (const end = performance.now() + 10_000; performance.now() < end && !ended;) {
    try {
      (await Deno.connect({ hostname: "127.0.0.1", port })).close();
      return;
    } catch (error) {
      if (!(error instanceof Deno.errors.ConnectionRefused)) throw error;
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  }
  throw new Error(`Cannot go on as nothing listens on port ${port}: ${child?.output ?? ""}`);
}
