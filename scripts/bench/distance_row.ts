import { fileURLToPath } from "node:url";
import { ChildProcess } from "../child_process.ts";
import { startLoopbackTunnel } from "../loopback_tunnel.ts";
import type { CommandLine, Programs } from "../programs.ts";
import { iperfGbits } from "./load.ts";
import { median } from "./numbers.ts";
import { type BenchContext, type Row, type RowResult, SkipError } from "./row.ts";
import { runTool } from "./tools.ts";

/** The network that the emulator makes: server and visitor in A, client and service in B. */
const SERVER_ADDRESS = "10.77.0.1";
const SERVICE_ADDRESS = "10.77.0.2";
const SERVICE_PORT = 5201;
const ROUND_TRIP_MS = 100;
/** A line that TCP's buffers and the emulator can fill at this distance. */
const LINE_MBITS = 100;
/** TCP finds its speed in the time that is left out. */
const SECONDS = 10;
const OMIT_SECONDS = 5;
const COMMAND_TIMEOUT_MS = 10_000;

/** One TCP connection over a long way: does the tunnel have a window of its own that is too small? */
export function distanceRow(programs: Programs): Row {
  return {
    name: "distance",
    about: `bulk at ${ROUND_TRIP_MS} ms round trip (needs root and a network emulator)`,
    needs: ["iperf3", "ip", "python3"],
    run: (context) => measure(context, programs),
  };
}

async function measure({ tools, rounds, note }: BenchContext, programs: Programs): Promise<RowResult[]> {
  const { ip, python3, iperf3 } = tools as Required<typeof tools>;
  await using stack = new AsyncDisposableStack();
  const [near, far] = await startNetwork(stack, { ip, python3 });
  function within(namespace: string, line: CommandLine): CommandLine {
    return [ip, "netns", "exec", namespace, ...line];
  }
  const [program, ...args] = within(far, [iperf3, "-s", "-p", `${SERVICE_PORT}`, "--forceflush"]);
  await stack.use(ChildProcess.start(program, { args })).line(/listening on/);
  const tunnel = stack.use(
    await startLoopbackTunnel({
      programs: { spokes: within(near, programs.spokes), pktriot: within(far, programs.pktriot) },
      ...{ http: {}, tcp: [`127.0.0.1:${SERVICE_PORT}`], serverHost: SERVER_ADDRESS },
    }),
  );
  const ways = {
    "no tunnel": { host: SERVICE_ADDRESS, port: SERVICE_PORT },
    product: { host: "127.0.0.1", port: tunnel.tcpPorts[0]! },
  };
  const visitor = within(near, [iperf3]);
  const rows: RowResult[] = [];
  for (const direction of ["up", "down"] as const) {
    const measured: Record<string, number[]> = {};
    for (let round = 1; round <= rounds; round++) {
      for (const [name, way] of Object.entries(ways)) {
        note(`distance, ${direction}: ${name}, round ${round} of ${rounds}`);
        const mbits = 1e3 *
          await iperfGbits(visitor, { ...way, seconds: SECONDS, omitSeconds: OMIT_SECONDS, direction });
        (measured[name] ??= []).push(mbits);
      }
    }
    rows.push({
      title: `TCP bulk ${direction} at ${ROUND_TRIP_MS} ms round trip, line of ${LINE_MBITS} Mbit/s`,
      unit: "Mbit/s",
      values: Object.fromEntries(Object.entries(measured).map(([name, values]) => [name, median(values)])),
    });
  }
  return rows;
}

/** Two network namespaces, far from each other. @throws {SkipError} when they cannot be made here */
async function startNetwork(
  stack: AsyncDisposableStack,
  { ip, python3 }: { ip: string; python3: string },
): Promise<[near: string, far: string]> {
  const emulator = fileURLToPath(new URL("../../../shared/tools/tun_netem.py", import.meta.url));
  if (Deno.uid() !== 0) throw new SkipError("network namespaces need root");
  if (!await Deno.stat(emulator).then(({ isFile }) => isFile, () => false)) {
    throw new SkipError("there is no network emulator beside the repository");
  }
  const names: [string, string] = [`spokes-bench-a-${Deno.pid}`, `spokes-bench-b-${Deno.pid}`];
  for (const name of names) {
    stack.defer(async () => {
      await runTool(ip, ["netns", "del", name], { timeoutMs: COMMAND_TIMEOUT_MS }).catch(() => {
        // The emulator did not come so far.
      });
    });
  }
  const flags = ["--a", names[0], "--b", names[1], "--delay", `${ROUND_TRIP_MS / 2}`, "--rate", `${LINE_MBITS}`];
  const child = stack.use(ChildProcess.start(python3, { args: [emulator, ...flags] }));
  try {
    await child.line(/^ready$/);
  } catch {
    throw new SkipError(`the network emulator does not work here: ${child.output.split("\n").at(-1)}`);
  }
  return names;
}
