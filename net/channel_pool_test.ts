import assert from "node:assert/strict";
import { CodedError } from "../protocol/errors.ts";
import { OPCODE } from "../protocol/frame.ts";
import { MAX_CHANNELS_PER_SESSION, MAX_POOL_REQUEST } from "../protocol/limits.ts";
import { ChannelPool, type ChannelPoolOptions } from "./channel_pool.ts";
import { DataChannel } from "./data_channel.ts";
import { memoryPair } from "./memory_duplex.ts";
import { FramePeer } from "./testing/frame_peer.ts";

const OPEN = {
  rule: "tcp/22000",
  revision: 1,
  protocol: "tcp",
  visitor: { address: "192.0.2.7", port: 4711 },
} as const;

/** A pool with a client that opens nothing by itself. */
class Pooled implements Disposable {
  readonly pool: ChannelPool;
  /** What was asked for, message by message. */
  readonly asked: number[] = [];
  reclaimed = 0;
  readonly peers = new Map<DataChannel, FramePeer>();

  constructor(options: Partial<ChannelPoolOptions> = {}) {
    this.pool = new ChannelPool({
      ask: (count) => this.asked.push(count),
      reclaim: () => this.reclaimed++ > 0,
      waitMs: 60_000,
      queue: 3,
      silenceMs: 25_000,
      pongMs: 10_000,
      ...options,
    });
  }

  /** The client opens channels. */
  add(count = 1): DataChannel[] {
    return Array.from({ length: count }, () => {
      const [near, far] = memoryPair();
      const channel = new DataChannel(near, {
        client: false,
        opener: true,
        secure: true,
        onIdle: (idle) => this.pool.onIdle(idle),
        onClosed: (closed) => this.pool.onClosed(closed),
      });
      this.peers.set(channel, new FramePeer(far, { client: true }));
      this.pool.add(channel);
      return channel;
    });
  }

  peer(channel: DataChannel): FramePeer {
    const peer = this.peers.get(channel);
    assert.ok(peer !== undefined);
    return peer;
  }

  /** A stream on the channel, from open to both ends. */
  async use(channel: DataChannel): Promise<void> {
    const stream = channel.open(OPEN);
    await this.peer(channel).say({ kind: "ok" }, { kind: "fin", written: 0 });
    assert.equal(await stream.read(), null);
    await stream.closeWrite();
  }

  /** All channels were heard of by then. */
  hear(now: number): void {
    for (const channel of this.peers.keys()) channel.liveness.heardAt = now;
  }

  [Symbol.dispose](): void {
    this.pool.end(new CodedError("SESSION_CLOSED"));
    for (const peer of this.peers.values()) peer.duplex.reset();
  }
}

function isKind(kind: CodedError["kind"]): (error: unknown) => boolean {
  return (error) => {
    assert.ok(error instanceof CodedError);
    assert.equal(error.kind, kind);
    return true;
  };
}

Deno.test("a new pool asks for its idle minimum once, not again while that is under way", () => {
  using pooled = new Pooled();
  pooled.pool.sweep(performance.now());
  pooled.pool.sweep(performance.now());
  assert.deepEqual(pooled.asked, [4]);
  pooled.add(4);
  pooled.pool.sweep(performance.now());
  assert.deepEqual(pooled.asked, [4]);
  assert.deepEqual(pooled.pool.counts, { channels: 4, idle: 4, waiting: 0 });
});

Deno.test("what was asked for and did not come is asked for again", () => {
  using pooled = new Pooled();
  const now = performance.now();
  pooled.pool.sweep(now);
  pooled.add(1);
  pooled.pool.sweep(now + 4_900);
  assert.deepEqual(pooled.asked, [4]);
  pooled.pool.sweep(now + 5_100);
  assert.deepEqual(pooled.asked, [4, 3]);
});

Deno.test("acquire() hands out the channel that was used last, and takes it back", async () => {
  using pooled = new Pooled();
  const [first, second] = pooled.add(2);
  assert.ok(first !== undefined && second !== undefined);
  const taken = pooled.pool.acquire();
  assert.equal(taken, second);
  assert.equal(pooled.pool.acquire(), first);
  assert.deepEqual(pooled.pool.counts, { channels: 2, idle: 0, waiting: 0 });
  await pooled.use(first);
  assert.deepEqual(pooled.pool.counts, { channels: 2, idle: 1, waiting: 0 });
  assert.equal(pooled.pool.acquire(), first);
});

Deno.test("a busy pool asks for several channels at once, and keeps a quarter of its peak idle", () => {
  using pooled = new Pooled();
  pooled.pool.sweep(performance.now());
  let asked = 0;
  for (let i = 0; i < 100; i++) {
    for (; asked < pooled.asked.length; asked++) pooled.add(pooled.asked[asked]);
    assert.ok(pooled.pool.acquire() instanceof DataChannel);
  }
  assert.ok(pooled.asked.length < 50, `asked ${pooled.asked.length} times`);
  assert.ok(pooled.asked.every((count) => count <= MAX_POOL_REQUEST));
  for (; asked < pooled.asked.length; asked++) pooled.add(pooled.asked[asked]);
  const { idle } = pooled.pool.counts;
  assert.ok(idle >= 12 && idle <= 25, `${idle} idle`);
});

Deno.test("streams that wait are served in the order they came, each new channel at once", async () => {
  using pooled = new Pooled();
  const order: number[] = [];
  const waiting = [1, 2, 3].map(async (number) => {
    const channel = await pooled.pool.acquire();
    order.push(number);
    return channel;
  });
  assert.equal(pooled.pool.counts.waiting, 3);
  assert.equal(pooled.asked.reduce((sum, count) => sum + count, 0), 4 + 3);
  const [channel] = pooled.add(1);
  assert.ok(channel !== undefined);
  assert.equal(await waiting[0], channel);
  // It is busy with the first, and goes to the second when that is over.
  await pooled.use(channel);
  assert.equal(await waiting[1], channel);
  const [other] = pooled.add(1);
  assert.equal(await waiting[2], other);
  assert.deepEqual(order, [1, 2, 3]);
});

Deno.test("acquire() refuses at once when too many wait already", async () => {
  using pooled = new Pooled();
  const waiting = [1, 2, 3].map(() =>
    assert.rejects(async () => await pooled.pool.acquire(), isKind("SESSION_CLOSED"))
  );
  assert.throws(() => pooled.pool.acquire(), isKind("TUNNEL_BUSY"));
  pooled.pool.end(new CodedError("SESSION_CLOSED"));
  await Promise.all(waiting);
});

Deno.test("acquire() gives up after its time, and leaves the queue", async () => {
  using pooled = new Pooled({ waitMs: 1 });
  await assert.rejects(async () => await pooled.pool.acquire(), isKind("TUNNEL_BUSY"));
  assert.equal(pooled.pool.counts.waiting, 0);
  pooled.add(1);
  assert.equal(pooled.pool.counts.idle, 1);
});

Deno.test("end() resets every stream, fails who waits, and takes nothing more", async () => {
  using pooled = new Pooled();
  const [busy, idle] = pooled.add(2);
  assert.ok(busy !== undefined && idle !== undefined);
  const taken = await pooled.pool.acquire();
  const stream = taken.open(OPEN);
  const reading = assert.rejects(async () => await stream.read());
  pooled.pool.acquire();
  const waiting = assert.rejects(async () => await pooled.pool.acquire(), isKind("REVOKED"));
  pooled.pool.end(new CodedError("REVOKED"));
  pooled.pool.end(new CodedError("SESSION_CLOSED"));
  await Promise.all([reading, waiting]);
  assert.throws(() => pooled.pool.acquire(), isKind("REVOKED"));
  assert.deepEqual(pooled.pool.counts, { channels: 0, idle: 0, waiting: 0 });
  const [late] = pooled.add(1);
  assert.equal(late?.closed, true);
  const asked = pooled.asked.length;
  pooled.pool.sweep(performance.now());
  assert.equal(pooled.asked.length, asked);
});

Deno.test("after a minute without streams all but one idle channel are let go, the first stream asks for more", async () => {
  using pooled = new Pooled();
  const channels = pooled.add(10);
  const later = performance.now() + 61_000;
  pooled.hear(later);
  pooled.pool.sweep(later);
  assert.equal(pooled.pool.counts.idle, 1);
  assert.deepEqual(pooled.asked, []);
  pooled.pool.sweep(later + 1000);
  assert.deepEqual(pooled.asked, []);
  assert.ok(pooled.pool.acquire() instanceof DataChannel);
  assert.deepEqual(pooled.asked, [4]);
  // The peer takes what was sent on them (a ping), sees their end, and closes.
  assert.deepEqual(channels.map(({ closed }) => closed), new Array(10).fill(false));
  for (const channel of channels.slice(0, -1)) {
    const { duplex } = pooled.peer(channel);
    while (await duplex.read() !== null);
    await duplex.closeWrite();
  }
  await new Promise((resolve) => setTimeout(resolve)); // Every promise that is settled by now has been heard.
  assert.deepEqual(channels.map(({ closed }) => closed), [...new Array(9).fill(true), false]);
  assert.deepEqual(pooled.pool.counts, { channels: 1, idle: 0, waiting: 0 });
});

Deno.test("far more idle channels than the peak needs are let go", () => {
  using pooled = new Pooled();
  pooled.add(100);
  const before = pooled.pool.counts.idle;
  pooled.pool.sweep(performance.now());
  const { idle } = pooled.pool.counts;
  assert.ok(idle < before && idle > before * 3 / 4, `${idle} of ${before}, as another burst may follow`);
  for (let sweeps = 0; sweeps < 40; sweeps++) pooled.pool.sweep(performance.now());
  assert.equal(pooled.pool.counts.idle, 4 + MAX_POOL_REQUEST);
});

Deno.test("a channel that is gone is forgotten and replaced", async () => {
  using pooled = new Pooled();
  const [first] = pooled.add(4);
  assert.ok(first !== undefined);
  for (const channel of [...pooled.peers.keys()].slice(1)) channel.close();
  assert.deepEqual(pooled.pool.counts, { channels: 1, idle: 1, waiting: 0 });
  assert.deepEqual(pooled.asked, [3]);
  await pooled.peer(first).duplex.closeWrite();
  while (!first.closed) await new Promise((resolve) => setTimeout(resolve, 0));
  assert.deepEqual(pooled.pool.counts, { channels: 0, idle: 0, waiting: 0 });
});

Deno.test("a channel that is closed already is not taken in, nor handed out", () => {
  using pooled = new Pooled();
  const [channel] = pooled.add(1);
  assert.ok(channel !== undefined);
  channel.close();
  pooled.pool.add(channel);
  pooled.pool.onIdle(channel);
  assert.deepEqual(pooled.pool.counts, { channels: 0, idle: 0, waiting: 0 });
});

Deno.test("a channel that was not heard of for 35 s is not handed out before it is heard of again", async () => {
  using pooled = new Pooled();
  const [old, fresh] = pooled.add(2);
  assert.ok(old !== undefined && fresh !== undefined);
  for (const channel of [old, fresh]) channel.liveness.heardAt -= 36_000;
  const waiting = pooled.pool.acquire();
  assert.ok(waiting instanceof Promise);
  // A stream that has just ended may have been silent for long, too.
  pooled.pool.onIdle(old);
  assert.equal(pooled.pool.counts.waiting, 1);
  pooled.pool.sweep(performance.now());
  assert.equal((await pooled.peer(fresh).next())?.opcode, OPCODE.ping);
  await pooled.peer(fresh).send(OPCODE.pong);
  while (performance.now() - fresh.liveness.heardAt > 30_000) await new Promise((resolve) => setTimeout(resolve, 0));
  pooled.pool.sweep(performance.now());
  assert.equal(await waiting, fresh);
});

Deno.test("sweep() closes a channel whose peer does not answer, and its streams end with it", async () => {
  using pooled = new Pooled();
  const [silent] = pooled.add(1);
  assert.ok(silent !== undefined);
  const stream = (await pooled.pool.acquire()).open(OPEN);
  const reading = assert.rejects(async () => await stream.read());
  const start = performance.now();
  for (let seconds = 25; seconds <= 37; seconds++) pooled.pool.sweep(start + seconds * 1000);
  await reading;
  assert.equal(silent.closed, true);
});

Deno.test("resume() asks every channel for a sign of life, and again for what may not have been heard", async () => {
  using pooled = new Pooled();
  pooled.pool.sweep(performance.now());
  const channels = pooled.add(1);
  pooled.pool.resume();
  assert.deepEqual(pooled.asked, [4, 3]);
  for (const channel of channels) assert.equal((await pooled.peer(channel).next())?.opcode, OPCODE.ping);
});

Deno.test("a pool never has or asks for more than its maximum; then attached channels are reclaimed", async () => {
  using pooled = new Pooled({ queue: 100 });
  for (let at = 0; at < MAX_CHANNELS_PER_SESSION - 10; at++) {
    pooled.add(1);
    assert.ok(pooled.pool.acquire() instanceof DataChannel);
  }
  assert.equal(pooled.pool.full, false);
  const before = pooled.asked.length;
  const waiting = Array.from({ length: 50 }, async () => await pooled.pool.acquire());
  pooled.add(10);
  assert.equal(pooled.pool.full, true);
  assert.equal(pooled.pool.counts.channels, MAX_CHANNELS_PER_SESSION);
  assert.ok(pooled.reclaimed > 0);
  assert.ok(pooled.asked.slice(before).every((count) => count <= MAX_POOL_REQUEST));
  const asked = pooled.asked.length;
  pooled.pool.sweep(performance.now());
  assert.equal(pooled.asked.length, asked);
  pooled.pool.end(new CodedError("SESSION_CLOSED"));
  const served = (await Promise.allSettled(waiting)).map(({ status }) => status === "fulfilled");
  assert.deepEqual(served, [...new Array(10).fill(true), ...new Array(40).fill(false)]);
});
