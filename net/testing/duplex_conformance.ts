import assert from "node:assert/strict";
import { createHash, type Hash } from "node:crypto";
import { StreamResetError } from "../../protocol/errors.ts";
import type { Duplex } from "../duplex.ts";

/** Two ends of one connection. */
export interface DuplexPair {
  near: Duplex;
  far: Duplex;
  /** Releases what is beneath, after both ends were closed. */
  dispose?: () => Promise<void> | void;
}

/** What differs from one kind of connection to the other. */
export interface ConformanceOptions {
  /** Whether `far` sees a reset of `near` as one; a bare `Deno.Conn` shows it as an end or an error. */
  resetIsSeen: boolean;
  /** The most bytes that may be accepted while nobody reads: buffers of ours and of the kernel, in both directions of a TLS wrap. */
  maxHeldBytes: number;
}

/** More than any buffer between two ends may hold. */
const MUCH_BYTES = 64 * 1024 * 1024;
const PIECE_BYTES = 64 * 1024;
/** A write that has not settled by then is held back; one that settles later is only taken for held. */
const HELD_AFTER_MS = 40;
/** A test that runs for so long hangs, and fails. */
const LATE_AFTER_MS = 10_000;

/** Registers the tests that every {@link Duplex} must pass, with the pair made anew for each. */
export function testDuplex(name: string, open: () => Promise<DuplexPair>, options: ConformanceOptions): void {
  function test(what: string, body: (near: Duplex, far: Duplex) => Promise<void>): void {
    Deno.test(`${name} ${what}`, async () => {
      const { near, far, dispose } = await open();
      // A connection that waits in vain may leave nothing behind that keeps the process alive: then this ends the wait.
      const late = setTimeout(() => [near, far].forEach((each) => each.reset()), LATE_AFTER_MS);
      try {
        await body(near, far);
      } finally {
        clearTimeout(late);
        near.close();
        far.close();
        near.reset();
        far.reset();
        await Promise.all([near.closed, far.closed]);
        await dispose?.();
      }
    });
  }

  test("carries bytes in order both ways at once, each to a clean end", async (near, far) => {
    const [up, down, upSeen, downSeen] = await Promise.all([
      send(near, pieces(3, 2_000_000)),
      send(far, pieces(7, 1_500_000)),
      receiveAll(far),
      receiveAll(near),
    ]);
    assert.deepEqual(upSeen, up);
    assert.deepEqual(downSeen, down);
    assert.equal(await near.read(), null);
    assert.equal(await far.read(), null);
    near.close();
    far.close();
    await Promise.all([near.closed, far.closed]);
  });

  test("keeps one direction open when the other has ended (half-close)", async (near, far) => {
    const up = await send(near, pieces(5, 10));
    assert.deepEqual(await receiveAll(far), up);
    const [down, seen] = await Promise.all([send(far, pieces(5, 500_000)), receiveAll(near)]);
    assert.deepEqual(seen, down);
  });

  test("passes on an end without a byte", async (near, far) => {
    await near.closeWrite();
    assert.equal(await far.read(), null);
    assert.equal(await far.read(), null);
  });

  test("ends a direction once, and takes nothing after it", async (near, far) => {
    await near.write(new Uint8Array([1]));
    await Promise.all([near.closeWrite(), near.closeWrite()]);
    await near.closeWrite();
    await assert.rejects(async () => await near.write(new Uint8Array([2])));
    assert.deepEqual([...(await far.read() ?? [])], [1]);
    assert.equal(await far.read(), null);
  });

  test("fails its own reads and writes when it is reset", async (near) => {
    const reading = assert.rejects(async () => await near.read(), isReset);
    near.reset();
    await reading;
    await assert.rejects(async () => await near.read(), isReset);
    await assert.rejects(async () => await near.write(new Uint8Array([1])), isReset);
    near.reset();
    near.close();
  });

  if (options.resetIsSeen) {
    test("shows the peer's reset to a reader that waits", async (near, far) => {
      const reading = assert.rejects(async () => await far.read(), isReset);
      near.reset();
      await reading;
      await assert.rejects(async () => await far.read(), isReset);
    });

    test("shows the peer's close before the end as a reset", async (near, far) => {
      await near.write(new Uint8Array(1000));
      near.close();
      await assert.rejects(async () => await receiveAll(far), isReset);
    });

    test("shows a reset in the middle of a transfer, never a clean end", async (near, far) => {
      const receiving = assert.rejects(() => receiveAll(far), isReset);
      await near.write(piece(0, 50_000));
      await near.write(piece(0, 50_000));
      near.reset();
      await receiving;
    });

    test(
      "shows a reset to a writer and a reader of the other side, whichever direction had ended",
      async (near, far) => {
        await far.closeWrite();
        assert.equal(await near.read(), null);
        const reading = assert.rejects(async () => await far.read(), isReset);
        near.reset();
        await reading;
      },
    );
  }

  test("holds the writer while nobody reads, and loses nothing afterwards", async (near, far) => {
    const held = await writeUntilHeld(near);
    assert.ok(held.bytes < options.maxHeldBytes, `${held.bytes} bytes were accepted`);
    const receiving = receiveAll(far);
    await held.pending;
    await near.closeWrite();
    assert.deepEqual(await receiving, held.digest());
  });

  test("fails a writer that is held back when the peer vanishes", async (near, far) => {
    const held = await writeUntilHeld(near);
    const reading = Promise.resolve(near.read());
    far.reset();
    await Promise.allSettled([held.pending, reading]);
    await assert.rejects(() => writeOn(near), isReset);
  });

  test("fails its own held writer when it is reset", async (near) => {
    const held = await writeUntilHeld(near);
    near.reset();
    await Promise.allSettled([held.pending]); // Whichever way, if the last bytes went just now.
    await assert.rejects(async () => await near.write(new Uint8Array([1])), isReset);
  });

  test("may be closed and reset again and again", async (near, far) => {
    await Promise.all([near.closeWrite(), far.closeWrite()]);
    assert.equal(await near.read(), null);
    assert.equal(await far.read(), null);
    for (let i = 0; i < 3; i++) {
      near.close();
      far.close();
      near.reset();
      far.reset();
    }
    await Promise.all([near.closed, far.closed]);
    await near.closeWrite();
  });

  test("delivers everything when both sides close as soon as they have sent and seen the end", async (near, far) => {
    async function exchange(duplex: Duplex, seed: number): Promise<[Digest, Digest]> {
      const both = await Promise.all([send(duplex, pieces(seed, 300_000)), receiveAll(duplex)]);
      duplex.close();
      return both;
    }
    const [[up, downSeen], [down, upSeen]] = await Promise.all([exchange(near, 1), exchange(far, 2)]);
    assert.deepEqual(upSeen, up);
    assert.deepEqual(downSeen, down);
    await Promise.all([near.closed, far.closed]);
  });
}

/** What was sent or received. */
interface Digest {
  bytes: number;
  sha256: string;
}

function isReset(error: unknown): boolean {
  assert.ok(error instanceof StreamResetError, String(error));
  return true;
}

/** Bytes of a pattern that no shift of itself repeats soon. */
function piece(from: number, length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  for (let i = 0; i < length; i++) bytes[i] = ((from + i) * 31 + ((from + i) >> 8)) & 0xff;
  return bytes;
}

/** Pieces of very different sizes that come to `total` bytes, the same for the same seed. */
function* pieces(seed: number, total: number): Generator<Uint8Array> {
  let random = seed;
  for (let at = 0; at < total;) {
    random = (random * 1_103_515_245 + 12_345) & 0x7fffffff;
    const size = Math.min(total - at, random % 5 === 0 ? 1 + (random >> 8) % 300_000 : 1 + (random >> 8) % 2_000);
    yield piece(at, size);
    at += size;
  }
}

async function send(duplex: Duplex, all: Iterable<Uint8Array>): Promise<Digest> {
  const hash = createHash("sha256");
  let bytes = 0;
  for (const each of all) {
    hash.update(each);
    bytes += each.length;
    await duplex.write(each);
  }
  await duplex.closeWrite();
  return digest(hash, bytes);
}

async function receiveAll(duplex: Duplex): Promise<Digest> {
  const hash = createHash("sha256");
  let bytes = 0;
  for (let each = await duplex.read(); each !== null; each = await duplex.read()) {
    assert.ok(each.length > 0, "a read gives no bytes");
    hash.update(each);
    bytes += each.length;
  }
  return digest(hash, bytes);
}

function digest(hash: Hash, bytes: number): Digest {
  return { bytes, sha256: hash.digest("hex") };
}

/** Writes until a write does not settle, and gives what was accepted and the write that waits. */
async function writeUntilHeld(
  duplex: Duplex,
): Promise<{ bytes: number; pending: Promise<void>; digest: () => Digest }> {
  const hash = createHash("sha256");
  for (let bytes = 0; bytes < MUCH_BYTES;) {
    const each = piece(bytes, PIECE_BYTES);
    hash.update(each);
    bytes += each.length;
    const pending = Promise.resolve(duplex.write(each));
    if (await isHeld(pending)) return { bytes, pending, digest: () => digest(hash, bytes) };
  }
  throw new assert.AssertionError({ message: `${MUCH_BYTES} bytes were accepted though nobody reads` });
}

async function writeOn(duplex: Duplex): Promise<void> {
  for (let bytes = 0; bytes < MUCH_BYTES; bytes += PIECE_BYTES) await duplex.write(new Uint8Array(PIECE_BYTES));
}

async function isHeld(pending: Promise<void>): Promise<boolean> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<true>((resolve) => timer = setTimeout(() => resolve(true), HELD_AFTER_MS));
  try {
    return await Promise.race([pending.then(() => false), late]);
  } finally {
    clearTimeout(timer);
  }
}
