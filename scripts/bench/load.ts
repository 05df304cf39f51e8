import { runTool } from "./tools.ts";

/** Where visitors connect: a port of loopback, and the name they ask for. */
export interface Entrance {
  readonly port: number;
  readonly host?: string;
}

/** Connections at once, as in the fixed sides of every HTTP row. */
const WRK_CONNECTIONS = 32;
/** The first second of a bulk transfer is TCP finding its speed. */
const IPERF_OMIT_S = 1;
/** What the tools may take beyond their own time. */
const EXTRA_MS = 15_000;

/** Requests a second: `wrk -t1 -c32`. @throws {Error} when answers are missing or wrong */
export async function wrkRequests(wrk: string, { port, host }: Entrance, seconds: number): Promise<number> {
  const header = host === undefined ? [] : ["-H", `Host: ${host}`];
  const args = ["-t1", `-c${WRK_CONNECTIONS}`, `-d${seconds}s`, ...header, `http://127.0.0.1:${port}/`];
  const text = await runTool(wrk, args, { timeoutMs: seconds * 1_000 + EXTRA_MS });
  const faults = /Non-2xx.*|Socket errors.*/.exec(text)?.[0];
  if (faults !== undefined) throw new Error(`Cannot count requests: ${faults}`);
  return Number(/Requests\/sec:\s+([\d.]+)/.exec(text)?.[1]);
}

/** Gbit/s that arrive through one TCP connection: `iperf3`, in either direction. */
export async function iperfGbits(
  command: readonly [program: string, ...args: string[]],
  options: { port: number; host?: string; seconds: number; omitSeconds?: number; direction: "up" | "down" },
): Promise<number> {
  const { port, host = "127.0.0.1", seconds, omitSeconds = IPERF_OMIT_S, direction } = options;
  const [program, ...before] = command;
  const args = [...before, "-c", host, "-p", `${port}`, "-t", `${seconds}`, "-O", `${omitSeconds}`, "-J"];
  const text = await runTool(program, direction === "down" ? [...args, "-R"] : args, {
    timeoutMs: (seconds + omitSeconds) * 1_000 + EXTRA_MS,
  });
  return JSON.parse(text).end.sum_received.bits_per_second / 1e9;
}
