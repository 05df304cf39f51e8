import type { Duplex, PushbackDuplex } from "../duplex.ts";

/** A duplex to which bytes can be given back. */
export function pushback(duplex: Duplex): PushbackDuplex {
  let kept: Uint8Array | null = null;
  return {
    unread(bytes) {
      if (bytes.length > 0) kept = bytes.slice();
    },
    read() {
      if (kept === null) return duplex.read();
      const bytes = kept;
      kept = null;
      return bytes;
    },
    write: (bytes) => duplex.write(bytes),
    closeWrite: () => duplex.closeWrite(),
    reset: (reason) => duplex.reset(reason),
    close: () => duplex.close(),
    closed: duplex.closed,
  };
}
