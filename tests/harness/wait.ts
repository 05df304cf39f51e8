/** Long enough for a busy machine: only a test that fails waits so long. */
const PATIENCE_MS = 20_000;
/** Between two looks at something that cannot be waited for. */
const LOOK_AGAIN_MS = 10;

/** The promise, or a failure that says what did not come in time. */
export async function within<T>(promise: Promise<T>, what: string, ms: number = PATIENCE_MS): Promise<T> {
  const late = Promise.withResolvers<never>();
  const timer = setTimeout(() => late.reject(new Error(`Cannot wait any longer for ${what}: ${ms} ms`)), ms);
  try {
    return await Promise.race([promise, late.promise]);
  } finally {
    clearTimeout(timer);
  }
}

/** Looks again and again until `look` gives something, for facts that nobody announces. */
export async function eventually<T>(
  look: () => T | Promise<T>,
  what: string | (() => string),
  ms: number = PATIENCE_MS,
): Promise<Exclude<T, undefined | null | false>> {
  const end = performance.now() + ms;
  for (;;) {
    const found = await look();
    if (found !== undefined && found !== null && found !== false) {
      return found as Exclude<T, undefined | null | false>;
    }
    if (performance.now() > end) {
      throw new Error(`Cannot wait any longer for ${typeof what === "string" ? what : what()}: ${ms} ms`);
    }
    await new Promise((resolve) => setTimeout(resolve, LOOK_AGAIN_MS));
  }
}
