/**
 * Ports for programs that cannot take any: below what the kernel gives to connections and to port 0 (from 32,768 on), so that nobody
 * gets one between our look and the program's own bind; and below those that servers of tests allocate (from 10,000 on).
 */
const FROM = 7_000;
const TO = 9_999;

/** A TCP port that nobody uses now. */
export function freePort(hostname = "0.0.0.0"): number {
  for (;;) {
    const port = FROM + Math.floor(Math.random() * (TO - FROM + 1));
    try {
      using _listener = Deno.listen({ hostname, port });
      return port;
    } catch (error) {
      if (!(error instanceof Deno.errors.AddrInUse)) throw error;
    }
  }
}

/** The same, all different. */
export function freePorts(count: number): number[] {
  const ports = new Set<number>();
  while (ports.size < count) ports.add(freePort());
  return [...ports];
}
