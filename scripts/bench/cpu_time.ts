/** Of `/proc`, the same on all of today's Linux. */
const TICKS_PER_SECOND = 100;
/** User and system time, counted from the third field of `stat`, which is the first behind the name. */
const USER_TIME = 14 - 3;
const SYSTEM_TIME = 15 - 3;

/** A result, and the CPU time that processes used meanwhile: other work on the machine changes it far less than it changes times. */
export interface WithCpu<T> {
  readonly result: T;
  /** Seconds, all threads of all processes; `NaN` where it cannot be read. */
  readonly cpuSeconds: number;
  /** Of the process that used most. */
  readonly busiestSeconds: number;
}

/** Runs an action and counts the CPU time of these processes, to 10 ms. */
export async function withCpu<T>(pids: readonly number[], action: () => Promise<T>): Promise<WithCpu<T>> {
  const before = await cpuSeconds(pids);
  const result = await action();
  const used = (await cpuSeconds(pids)).map((after, index) => after - before[index]!);
  return { result, cpuSeconds: used.reduce((sum, each) => sum + each, 0), busiestSeconds: Math.max(...used) };
}

async function cpuSeconds(pids: readonly number[]): Promise<number[]> {
  return await Promise.all(pids.map(async (pid) => {
    const text = await Deno.readTextFile(`/proc/${pid}/stat`).catch(() => ""); // Not on Linux.
    // The name may hold anything but ends with the last parenthesis.
    const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
    return (Number(fields[USER_TIME] ?? NaN) + Number(fields[SYSTEM_TIME] ?? NaN)) / TICKS_PER_SECOND;
  }));
}
