/** Calls of Ctrl-C and of service managers. */
export interface StopSignals extends Disposable {
  /** Aborted by the first: finish what is running. */
  readonly first: AbortSignal;
  /** Aborted by the second: end at once. */
  readonly second: AbortSignal;
}

/** Listens for SIGINT and SIGTERM (on Windows, which has no SIGTERM, for Ctrl-C and Ctrl-Break) until disposed. */
export function stopSignals(): StopSignals {
  const first = new AbortController();
  const second = new AbortController();
  const names: readonly Deno.Signal[] = Deno.build.os === "windows" ? ["SIGINT", "SIGBREAK"] : ["SIGINT", "SIGTERM"];
  function onSignal(): void {
    (first.signal.aborted ? second : first).abort();
  }
  for (const name of names) Deno.addSignalListener(name, onSignal);
  return {
    first: first.signal,
    second: second.signal,
    [Symbol.dispose]: () => names.forEach((name) => Deno.removeSignalListener(name, onSignal)),
  };
}

/** Resolves when the signal aborts. */
export function whenAborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener("abort", () => resolve(), { once: true });
  });
}
