import type { Logger } from "../net/log.ts";

/**
 * Keeps a fault that nobody caught from ending the process and everybody's streams with it (security R2): it is logged as what it is,
 * a defect to be reported.
 */
export function keepRunning(log: Logger): Disposable {
  function onRejection(event: PromiseRejectionEvent): void {
    event.preventDefault();
    log.error("fault", { code: "E5999", reason: describe(event.reason) });
  }
  function onError(event: ErrorEvent): void {
    event.preventDefault();
    log.error("fault", { code: "E5999", reason: describe(event.error) });
  }
  addEventListener("unhandledrejection", onRejection);
  addEventListener("error", onError);
  return {
    [Symbol.dispose](): void {
      removeEventListener("unhandledrejection", onRejection);
      removeEventListener("error", onError);
    },
  };
}

function describe(error: unknown): string {
  return error instanceof Error ? error.stack ?? error.message : String(error);
}
