import type { CommandLine } from "../programs.ts";
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
const IPERF_TRIES = 20;
const IPERF_BUSY_MS = 250;
/** What the tools may take beyond their own time. */
const EXTRA_MS = 15_000;

/** Requests a second: `wrk -t1 -c32`. @throws {Error} when answers are missing or wrong */
export async function wrkRequests(wrk: string, { port, host }: Entrance, seconds: number): Promise<number> {
  const header = host === undefined ? [] : ["-H", `Host: ${host}`];
  return await wrkUrl([wrk, ...header], `http://127.0.0.1:${port}/`, seconds);
}

/** The same for a URL, whose name the program that is called must find. */
export async function wrkUrl([program, ...before]: CommandLine, url: string, seconds: number): Promise<number> {
  const args = [...before, "-t1", `-c${WRK_CONNECTIONS}`, `-d${seconds}s`, url];
  const text = await runTool(program, args, { timeoutMs: seconds * 1_000 + EXTRA_MS });
  const faults = /Non-2xx.*|Socket errors.*/.exec(text)?.[0];
  if (faults !== undefined) throw new Error(`Cannot count requests: ${faults}`);
  return Number(/Requests\/sec:\s+([\d.]+)/.exec(text)?.[1]);
}

interface IperfResult {
  error?: string;
  end?: { sum_received?: { bits_per_second?: number } };
}

/** Gbit/s that arrive through one TCP connection: `iperf3`, in either direction. */
export async function iperfGbits(
  command: CommandLine,
  options: { port: number; host?: string; seconds: number; omitSeconds?: number; direction: "up" | "down" },
): Promise<number> {
  const { port, host = "127.0.0.1", seconds, omitSeconds = IPERF_OMIT_S, direction } = options;
  const [program, ...before] = command;
  const time = ["-t", `${seconds}`, "-O", `${omitSeconds}`];
  const args = [...before, "-c", host, "-p", `${port}`, ...time, "-J", ...(direction === "down" ? ["-R"] : [])];
  /** iperf3 says in its JSON why it fails, and then also fails. */
  async function runIperf(): Promise<IperfResult> {
    return JSON.parse(await runTool(program, args, { timeoutMs, mayFail: true }));
  }
  const timeoutMs = (seconds + omitSeconds) * 1_000 + EXTRA_MS;
  let result = await runIperf();
  // It takes one client at a time, and may not have seen the end of the one before.
  for (let again = 0; again < IPERF_TRIES && /busy|control message/.test(result.error ?? ""); again++) {
    await new Promise((resolve) => setTimeout(resolve, IPERF_BUSY_MS));
    result = await runIperf();
  }
  const bits = result.end?.sum_received?.bits_per_second;
  if (typeof bits !== "number") {
    throw new Error(`Cannot measure: iperf3 says ${result.error ?? "nothing of what arrived"}`);
  }
  return bits / 1e9;
}
