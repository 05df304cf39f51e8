import { Deadline } from "../../net/deadline.ts";

/** How {@link openFirst} opens one of several. */
export interface OpenFirstOptions<C, T> {
  /** Opens a candidate, until the attempt is aborted: by another one that was faster, or by the signal. */
  readonly open: (candidate: C, attempt: AbortController) => Promise<T>;
  /** What was opened too late. */
  readonly discard: (opened: T) => void;
  /** Whether the failure of one need not be that of the next. */
  readonly mayTryNext: (error: unknown) => boolean;
  /** Without an answer for so long, the next is tried beside it. */
  readonly patienceMs: number;
  readonly signal: AbortSignal;
}

/**
 * Opens one of several, in their order: the next one is tried when one fails, and beside it when it does not answer; the first that opens
 * is the one. So neither one that hangs nor a slow one alone keeps it from being opened.
 * @throws the reason of the signal, or the failure of the last
 */
export function openFirst<C, T>(candidates: readonly C[], options: OpenFirstOptions<C, T>): Promise<T> {
  const { open, discard, mayTryNext, patienceMs, signal } = options;
  const { promise, resolve, reject } = Promise.withResolvers<T>();
  const left = [...candidates];
  const running = new Set<AbortController>();
  const patience = new Deadline(Infinity, tryNext);
  let isOver = false;

  function finish(reason: unknown): void {
    isOver = true;
    patience[Symbol.dispose]();
    signal.removeEventListener("abort", onAbort);
    for (const attempt of running) attempt.abort(reason);
  }
  function onAbort(): void {
    finish(signal.reason);
    reject(signal.reason);
  }
  function tryNext(): void {
    const attempt = new AbortController();
    running.add(attempt);
    const opening = open(left.shift()!, attempt);
    patience.replace(left.length > 0 ? patienceMs : Infinity);
    opening.then((opened) => onOpened(opened, attempt), (error) => onFailed(error, attempt));
  }
  function onOpened(opened: T, attempt: AbortController): void {
    running.delete(attempt);
    if (isOver) return discard(opened);
    finish(new DOMException("Another one was faster", "AbortError"));
    resolve(opened);
  }
  function onFailed(error: unknown, attempt: AbortController): void {
    running.delete(attempt);
    if (isOver) return;
    if (left.length > 0 && mayTryNext(error)) return tryNext();
    if (running.size > 0) return; // Which may still open, whatever is the matter with this one.
    finish(error);
    reject(error);
  }

  signal.addEventListener("abort", onAbort, { once: true });
  if (signal.aborted) onAbort();
  else tryNext();
  return promise;
}
