/** A TCP port of 127.0.0.1 that nobody uses now: the wanted one if it is free, else any. */
export function freePort(wanted = 0): number {
  try {
    using listener = Deno.listen({ hostname: "0.0.0.0", port: wanted });
    return listener.addr.port;
  } catch (error) {
    if (wanted === 0 || !(error instanceof Deno.errors.AddrInUse || error instanceof Deno.errors.PermissionDenied)) {
      throw error;
    }
    return freePort();
  }
}
