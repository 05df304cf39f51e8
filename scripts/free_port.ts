import { freePort as anyFreePort } from "../net/testing/free_port.ts";

/** A TCP port of this machine that nobody uses now: the wanted one if it is free, else any. */
export function freePort(wanted = 0): number {
  if (wanted === 0) return anyFreePort();
  try {
    using _listener = Deno.listen({ hostname: "0.0.0.0", port: wanted });
    return wanted;
  } catch (error) {
    if (error instanceof Deno.errors.AddrInUse || error instanceof Deno.errors.PermissionDenied) return anyFreePort();
    throw error;
  }
}
