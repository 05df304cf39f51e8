import assert from "node:assert/strict";
import type { ChannelStream } from "../net/channel_stream.ts";
import { DataChannel } from "../net/data_channel.ts";
import { memoryPair } from "../net/memory_duplex.ts";
import { queuedWrites } from "../net/testing/queued_writes.ts";
import { toDestination } from "../protocol/destination.ts";
import { CodedError, type ProtocolError } from "../protocol/errors.ts";
import { IncomingChannels, type IncomingChannelsOptions } from "./incoming_channels.ts";
import { DEFAULT_SERVER_LIMITS, type ServerLimits } from "./limits.ts";

const REDIS = toDestination("redis", 6379);

/** Channels, and a way for their client to dial one. */
function setUp(
  answer: IncomingChannelsOptions["answer"],
  limits: Partial<ServerLimits> = {},
): { channels: IncomingChannels; dial: () => DataChannel; violations: (ProtocolError | undefined)[] } {
  const violations: (ProtocolError | undefined)[] = [];
  const channels = new IncomingChannels({
    ...{ limits: { ...DEFAULT_SERVER_LIMITS, ...limits }, answer },
    onClosed: (violation) => violations.push(violation),
  });
  function dial(): DataChannel {
    const [near, far] = memoryPair();
    channels.attach(queuedWrites(near), new Uint8Array(0), { secure: true });
    return new DataChannel(queuedWrites(far), { client: true, opener: true, secure: true });
  }
  return { channels, dial, violations };
}

/** Takes a stream, and ends it when its client does. */
async function serveToEnd(stream: ChannelStream): Promise<void> {
  await stream.accept();
  while (await stream.read() !== null);
  await stream.closeWrite();
}

async function finish(stream: ChannelStream): Promise<void> {
  await stream.closeWrite();
  assert.equal(await stream.read(), null);
}

Deno.test("streams of a client are answered with where they want to go, one after the other on a channel", async () => {
  const wanted: string[] = [];
  const { channels, dial, violations } = setUp((stream, { destination }) => {
    wanted.push(`${destination.host}:${destination.port}`);
    return serveToEnd(stream);
  });
  const channel = dial();
  for (let count = 1; count <= 3; count++) {
    const stream = channel.connect(toDestination("redis", count));
    await stream.opened();
    assert.deepEqual(channels.counts, { channels: 1, idle: 0, streams: 1 });
    await finish(stream);
  }
  await channels.idle();
  assert.deepEqual(wanted, ["redis:1", "redis:2", "redis:3"]);
  assert.deepEqual(channels.counts, { channels: 1, idle: 1, streams: 0 });
  channels.end(new CodedError("SESSION_CLOSED"));
  assert.deepEqual(violations, [undefined]);
});

Deno.test("what the answer throws is told to the client, and the channel stays good", async () => {
  const { channels, dial } = setUp(() => Promise.reject(new CodedError("DESTINATION_DENIED", "Not for you")));
  const channel = dial();
  for (let count = 0; count < 2; count++) {
    await assert.rejects(channel.connect(REDIS).opened(), { kind: "DESTINATION_DENIED", message: "Not for you" });
  }
  assert.equal(channels.size, 1);
  channels.end(new CodedError("SESSION_CLOSED"));
});

Deno.test("a session has so many streams at once and no more", async () => {
  const { channels, dial } = setUp(serveToEnd, { streamsPerSession: 2 });
  const streams = [dial().connect(REDIS), dial().connect(REDIS)];
  await Promise.all(streams.map((stream) => stream.opened()));
  const third = dial();
  await assert.rejects(third.connect(REDIS).opened(), { kind: "TUNNEL_BUSY" });
  await finish(streams[0]!);
  await third.connect(REDIS).opened();
  channels.end(new CodedError("SESSION_CLOSED"));
});

Deno.test("a burst of streams waits for the next seconds, and beyond its queue is refused", async () => {
  const { channels, dial } = setUp(serveToEnd, { opensPerSecond: 2, channelQueue: 1 });
  const opened = Array.from({ length: 8 }, () => dial().connect(REDIS).opened());
  const refusals = (await Promise.allSettled(opened)).flatMap((each) =>
    each.status === "rejected" ? [each.reason.kind as string] : []
  );
  // Two in the second in which it began, or in each of two if it began at its end, and one that waited.
  assert.ok(refusals.length >= 3 && refusals.length <= 5, `${refusals.length}`);
  assert.deepEqual([...new Set(refusals)], ["TUNNEL_BUSY"]);
  channels.end(new CodedError("SESSION_CLOSED"));
});

Deno.test("a draining server refuses new streams, and lets those under way end", async () => {
  const { channels, dial } = setUp(serveToEnd);
  const running = dial().connect(REDIS);
  await running.opened();
  const other = dial();
  channels.drain();
  await assert.rejects(other.connect(REDIS).opened(), { kind: "SERVER_DRAINING" });
  let idle = false;
  const waiting = channels.idle().then(() => idle = true);
  await new Promise((resolve) => setTimeout(resolve, 10));
  assert.equal(idle, false);
  await finish(running);
  await waiting;
  await channels.retire();
  assert.equal(channels.size, 0);
  assert.throws(dial, { kind: "SERVER_DRAINING" });
});

Deno.test("the end of a session resets the streams of its client", async () => {
  const { channels, dial } = setUp(serveToEnd);
  const stream = dial().connect(REDIS);
  await stream.opened();
  channels.end(new CodedError("REVOKED"));
  await assert.rejects(async () => await stream.read(), { kind: "STREAM_RESET" });
  assert.equal(channels.size, 0);
});

Deno.test("channels are pinged when they are silent, and closed when they stay so", async () => {
  const { channels } = setUp(serveToEnd);
  const [near] = memoryPair();
  channels.attach(queuedWrites(near), new Uint8Array(0), { secure: true });
  const now = performance.now();
  channels.sweep(now + 26_000);
  assert.equal(channels.size, 1);
  channels.sweep(now + 36_001);
  assert.equal(channels.size, 0);
  await near.closed;
});

Deno.test("a violation is told of", async () => {
  const { channels, violations } = setUp(serveToEnd);
  const [near, far] = memoryPair();
  channels.attach(queuedWrites(near), new Uint8Array(0), { secure: true });
  const wrong = new DataChannel(queuedWrites(far), { client: true, opener: true, secure: true });
  wrong.open({ rule: "tcp/1", revision: 1, protocol: "tcp", visitor: { address: "192.0.2.1", port: 1 } });
  await near.closed;
  await new Promise((resolve) => setTimeout(resolve));
  assert.deepEqual(violations.map((violation) => violation?.kind), ["PROTOCOL_VIOLATION"]);
  assert.equal(channels.size, 0);
});
