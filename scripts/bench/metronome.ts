/** The cells of the memory that both threads share. */
const STOP = 0;
const PENDING = 1;

/** What the thread of the metronome is told. */
export interface MetronomeOrder {
  readonly intervalMs: number;
  readonly cells: Int32Array;
}

/**
 * Calls `onTick` at an interval far below the millisecond of timers, from a thread that sleeps in between: a loop of immediates would
 * take a whole core from what is measured. A tick that was not yet taken is not followed by another.
 */
export function startMetronome(intervalMs: number, onTick: () => void): Disposable {
  const cells = new Int32Array(new SharedArrayBuffer(8));
  const worker = new Worker(new URL("./metronome_worker.ts", import.meta.url), { type: "module" });
  worker.onmessage = () => {
    Atomics.store(cells, PENDING, 0);
    onTick();
  };
  worker.postMessage({ intervalMs, cells } satisfies MetronomeOrder);
  return {
    [Symbol.dispose](): void {
      Atomics.store(cells, STOP, 1);
      worker.terminate();
    },
  };
}

/** The thread's part: sleeps and posts until it is stopped. */
export function beat({ intervalMs, cells }: MetronomeOrder, post: () => void): void {
  while (Atomics.load(cells, STOP) === 0) {
    Atomics.wait(cells, STOP, 0, intervalMs);
    if (Atomics.exchange(cells, PENDING, 1) === 0) post();
  }
}
