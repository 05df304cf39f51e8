import type { Duplex } from "../duplex.ts";

/** What a peer may still send after our last answer. */
const MAX_LINGER_BYTES = 256 * 1024;

/**
 * Ends a connection whose peer may still be sending: says that nothing more comes, and reads on for a little, since closing
 * on unread bytes would reset the connection and could destroy the answer on its way (RFC 9112 9.6). The caller's deadline
 * bounds the time.
 */
export async function lingeringClose(duplex: Duplex): Promise<void> {
  try {
    await duplex.closeWrite();
    let left = MAX_LINGER_BYTES;
    for (let bytes = await duplex.read(); bytes !== null && left > 0; bytes = await duplex.read()) left -= bytes.length;
  } catch {
    // The peer reset the connection: it is closed.
  } finally {
    duplex.close();
  }
}
