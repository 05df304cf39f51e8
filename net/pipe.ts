import { allocate, HEADROOM_BYTES } from "../protocol/allocate.ts";
import { StreamResetError } from "../protocol/errors.ts";
import { Deadline } from "./deadline.ts";
import { BULK_BYTES, type Duplex, JOIN_BYTES, type MaybePromise } from "./duplex.ts";

/** How two connections are joined. */
export interface PipeOptions {
  /** After one direction ended, the other is reset when no byte moved for so long, ms. */
  lingerMs: number;
  /** Called after bytes were handed on: `up` is upstream to downstream. */
  onBytes?: (count: number, direction: "up" | "down") => void;
}

/**
 * Joins two connections until both directions have ended. An end is passed on as a half-close, a reset as a reset of the other side.
 * Whatever happens, both are closed when it settles.
 * @throws {CodedError} why, when either side was reset or refused
 */
export async function pipe(upstream: Duplex, downstream: Duplex, options: PipeOptions): Promise<void> {
  let linger: Deadline | undefined;
  /** Directions whose end we have passed on, or are passing on; and sides that are gone. */
  const ended = { up: false, down: false };
  const gone = { up: false, down: false };
  /** Why both were reset: what their reads and writes then say is not the reason. */
  let failure: { reason: unknown } | undefined;
  function abort(reason: unknown): void {
    failure ??= { reason };
    upstream.reset(reason);
    downstream.reset(reason);
  }
  /** Nobody reads from a side whose direction has ended: that it is gone before the other has is a reset, all the same. */
  function look(): void {
    if ((gone.up && ended.up && !ended.down) || (gone.down && ended.down && !ended.up)) abort(new StreamResetError());
  }
  upstream.closed.then(() => {
    gone.up = true;
    look();
  });
  downstream.closed.then(() => {
    gone.down = true;
    look();
  });
  async function copy(from: Duplex, to: Duplex, direction: "up" | "down"): Promise<void> {
    const { headroom = 0 } = from;
    let next = from.read();
    for (;;) {
      const bytes = next instanceof Promise ? await next : next;
      if (bytes === null) break;
      if (from.ready !== true || to.writeAll === undefined || bytes.length > JOIN_BYTES >> 1) {
        // A small rest of a large buffer is copied, as the buffer is worth more than a copy.
        const isRest = headroom > 0 && bytes.length < BULK_BYTES && bytes.buffer.byteLength >= JOIN_BYTES;
        const written = isRest ? writeCopy(to, bytes) : to.write(bytes, headroom);
        if (written instanceof Promise) await written;
        if (isRest || bytes.length >= BULK_BYTES) from.reuse?.(bytes);
        options.onBytes?.(bytes.length, direction);
        next = from.read();
      } else {
        const batch = gather(from, bytes);
        const { pieces, length } = batch;
        const written = pieces.length === 1 && length >= BULK_BYTES
          ? to.write(bytes, headroom)
          : to.writeAll(pieces, length);
        if (written instanceof Promise) await written;
        for (const piece of pieces) from.reuse?.(piece);
        options.onBytes?.(length, direction);
        next = batch.next === undefined ? from.read() : batch.next;
      }
      linger?.replace(options.lingerMs);
    }
    const first = !ended.up && !ended.down;
    ended[direction] = true;
    look();
    await to.closeWrite();
    if (first && !(ended.up && ended.down)) {
      linger = new Deadline(options.lingerMs, () => abort(new StreamResetError("One side was silent")));
    }
  }
  async function guarded(from: Duplex, to: Duplex, direction: "up" | "down"): Promise<void> {
    try {
      await copy(from, to, direction);
    } catch (error) {
      abort(error);
    }
  }
  await Promise.all([guarded(upstream, downstream, "up"), guarded(downstream, upstream, "down")]);
  linger?.[Symbol.dispose]();
  upstream.close();
  downstream.close();
  if (failure !== undefined) throw failure.reason;
}

function writeCopy(to: Duplex, bytes: Uint8Array): MaybePromise<void> {
  if (to.writeAll !== undefined) return to.writeAll([bytes], bytes.length);
  const copy = allocate(bytes.length);
  copy.set(bytes);
  return to.write(copy, HEADROOM_BYTES);
}

/** What is written as one. */
interface Batch {
  pieces: Uint8Array[];
  length: number;
  /** What was read behind them, if anything. */
  next: MaybePromise<Uint8Array | null> | undefined;
}

/** What has come already, up to a bound: TLS gives records of 16 KiB, and a system call for each costs more than the bytes. */
function gather(from: Duplex, first: Uint8Array): Batch {
  const batch: Batch = { pieces: [first], length: first.length, next: undefined };
  while (from.ready === true) {
    const next = from.read();
    if (next === null || next instanceof Promise || batch.length + next.length > JOIN_BYTES) {
      batch.next = next;
      // It may fail while what came before it is written; whoever waits for it then sees that.
      if (next instanceof Promise) next.catch(() => {});
      break;
    }
    batch.pieces.push(next);
    batch.length += next.length;
  }
  return batch;
}
