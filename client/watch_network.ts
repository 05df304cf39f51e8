/** How often we look; the price is one small list. */
const LOOK_EVERY_MS = 2_000;
/** A timer this late means that the machine slept. */
const SLEPT_MS = 5_000;

/**
 * Calls back when the network interfaces have changed or the machine has slept: whatever was connected may be dead now, and what
 * failed may work. Looks until disposed.
 */
export function watchNetwork(onChange: (reason: "network" | "sleep") => void): Disposable {
  let before = interfaces();
  let expected = Date.now() + LOOK_EVERY_MS;
  const timer = setInterval(() => {
    const late = Date.now() - expected;
    expected = Date.now() + LOOK_EVERY_MS;
    const now = interfaces();
    const changed = now !== before;
    before = now;
    if (late > SLEPT_MS) onChange("sleep");
    else if (changed) onChange("network");
  }, LOOK_EVERY_MS);
  return { [Symbol.dispose]: () => clearInterval(timer) };
}

function interfaces(): string {
  try {
    return Deno.networkInterfaces().map(({ name, address }) => `${name} ${address}`).sort().join("\n");
  } catch {
    return ""; // Not permitted, or the system would not say: then the back-off alone decides.
  }
}
