import type { ChildProcess } from "../child_process.ts";
import { httpGet } from "../http_get.ts";
import { startLoopbackTunnel } from "../loopback_tunnel.ts";
import { type Programs, startProgram } from "../programs.ts";
import { median } from "./numbers.ts";
import type { BenchContext, Row, RowResult } from "./row.ts";

/** A time out of reach of every recovery: the client's longest back-off is 15 s. */
const TIMEOUT_MS = 60_000;
const POLL_MS = 5;
/** A request that hangs is as good as none. */
const REQUEST_TIMEOUT_MS = 2_000;

/** How long the service is away when one of the programs is killed and started again. For information. */
export function recoveryRow(programs: Programs): Row {
  return {
    name: "recovery",
    about: "time without service after a kill -9 and a new start of one program",
    run: (context) => measure(context, programs),
  };
}

async function measure({ targets, rounds, note }: BenchContext, programs: Programs): Promise<RowResult[]> {
  await using stack = new AsyncDisposableStack();
  const http = { hello: `127.0.0.1:${targets.hello}` };
  const tunnel = stack.use(await startLoopbackTunnel({ programs, http, tcp: [] }));
  const { serverConfig, clientConfig, httpPort } = tunnel;
  /** Kills the running one, starts another, and gives the time until a visitor is served again. */
  async function restart(running: ChildProcess, line: Programs["spokes"], config: string) {
    running.kill("SIGKILL");
    await running.ended;
    const start = performance.now();
    const next = stack.use(startProgram(line, { args: ["--config", config, "start"] }));
    await whenServed(httpPort);
    return { next, ms: performance.now() - start };
  }
  const serverMs: number[] = [];
  const clientMs: number[] = [];
  let { server, client } = tunnel;
  for (let round = 1; round <= rounds; round++) {
    note(`recovery: round ${round} of ${rounds}`);
    const restartedClient = await restart(client, programs.pktriot, clientConfig);
    const restartedServer = await restart(server, programs.spokes, serverConfig);
    client = restartedClient.next;
    server = restartedServer.next;
    clientMs.push(restartedClient.ms);
    serverMs.push(restartedServer.ms);
  }
  return [
    row("Away after kill -9 and start of the client", median(clientMs)),
    row("Away after kill -9 and start of the server", median(serverMs)),
  ];
}

function row(title: string, ms: number): RowResult {
  return { title, unit: "ms", values: { product: ms }, ratios: false };
}

async function whenServed(port: number): Promise<void> {
  for (const end = performance.now() + TIMEOUT_MS; performance.now() < end;) {
    const status = await httpGet(port, "hello.localhost", { timeoutMs: REQUEST_TIMEOUT_MS }).then(
      (answer) => answer.status,
      () => 0, // Nobody listens yet.
    );
    if (status === 200) return;
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
  throw new Error(`Cannot measure: no service after ${TIMEOUT_MS} ms`);
}
