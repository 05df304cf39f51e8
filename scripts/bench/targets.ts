import { fileURLToPath } from "node:url";
import { ChildProcess } from "../child_process.ts";
import { freePort } from "../free_port.ts";
import { startNginx } from "./nginx.ts";
import type { Tool } from "./tools.ts";

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
  const nginx = tools.nginx === undefined ? undefined : (await startNginx(stack, tools.nginx)).port;
  const iperf = tools.iperf3 === undefined ? undefined : await startIperf(stack, tools.iperf3);
  const owned = stack.move();
  return {
    ...{ hello: hello!, echo: echo! },
    ...(nginx === undefined ? {} : { nginx }),
    ...(iperf === undefined ? {} : { iperf }),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

/** Starts a script beside this one, which prints its port; gives that. */
export async function startScript(stack: AsyncDisposableStack, script: string): Promise<number> {
  const path = fileURLToPath(new URL(script, import.meta.url));
  const child = stack.use(ChildProcess.start(Deno.execPath(), { args: ["run", "-A", path] }));
  const [, port] = await child.line(/^port (\d+)$/);
  return Number(port);
}

async function startIperf(stack: AsyncDisposableStack, iperf3: string): Promise<number> {
  const port = freePort();
  const child = stack.use(ChildProcess.start(iperf3, { args: ["-s", "-p", `${port}`, "--forceflush"] }));
  await child.line(/listening on/);
  return port;
}
