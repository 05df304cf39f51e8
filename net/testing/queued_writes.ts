import type { Duplex, MaybePromise } from "../duplex.ts";

/** A duplex that takes a write while another one waits, as sockets do and channels need: pongs come between a stream's frames. */
export function queuedWrites(duplex: Duplex): Duplex {
  let last: Promise<void> | null = null;
  function queue(action: () => MaybePromise<void>): MaybePromise<void> {
    const done = last === null ? action() : last.then(action);
    if (!(done instanceof Promise)) return;
    last = done;
    const settled = (): void => {
      if (last === done) last = null;
    };
    done.then(settled, settled);
    return done;
  }
  return {
    read: () => duplex.read(),
    write: (bytes) => queue(() => duplex.write(bytes)),
    closeWrite: () => queue(() => duplex.closeWrite()),
    reset: (reason) => duplex.reset(reason),
    close: () => duplex.close(),
    closed: duplex.closed,
  };
}
