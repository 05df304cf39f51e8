import assert from "node:assert/strict";
import { toDestination } from "../protocol/destination.ts";
import { CodedError, ProtocolError, StreamResetError } from "../protocol/errors.ts";
import { FrameDecoder, OPCODE } from "../protocol/frame.ts";
import { MAX_CONTROL_FRAMES_PER_S } from "../protocol/limits.ts";
import type { StreamOpen } from "../protocol/stream_message.ts";
import type { ChannelStream } from "./channel_stream.ts";
import { DataChannel, type DataChannelOptions } from "./data_channel.ts";
import type { Duplex } from "./duplex.ts";
import { memoryPair, type MemoryPairOptions } from "./memory_duplex.ts";
import { FramePeer } from "./testing/frame_peer.ts";
import { queuedWrites } from "./testing/queued_writes.ts";
import { connPair } from "./testing/socket_pairs.ts";

const OPEN: StreamOpen = {
  kind: "open",
  rule: "tcp/22000",
  revision: 1,
  protocol: "tcp",
  visitor: { address: "192.0.2.7", port: 4711 },
};
const REFUSED = new CodedError("TARGET_REFUSED", "Nobody listens");
const LIVENESS = { silenceMs: 25_000, pongMs: 10_000 };
const BYTES = new Uint8Array([1, 2, 3]);

/** What a channel told its owner. */
interface Told {
  idle: number;
  /** One entry for each `onClosed`. */
  closed: (ProtocolError | undefined)[];
  /** Settles at the first `onClosed`. */
  whenClosed: Promise<void>;
}

/** Options whose callbacks are written down. */
function listener(options: DataChannelOptions): { told: Told; options: DataChannelOptions } {
  const { promise, resolve } = Promise.withResolvers<void>();
  const told: Told = { idle: 0, closed: [], whenClosed: promise };
  return {
    told,
    options: {
      ...options,
      onIdle: () => told.idle++,
      onClosed: (_channel, violation) => {
        told.closed.push(violation);
        resolve();
      },
    },
  };
}

interface Tested {
  channel: DataChannel;
  peer: FramePeer;
  told: Told;
  /** The streams that were opened to it. */
  streams: ChannelStream[];
}

/** A channel whose peer is driven by hand. The opener is the server, as most often. */
function channelOf(
  role: "opener" | "answerer",
  options: MemoryPairOptions & { transport?: [Duplex, Duplex] } = {},
): Tested {
  const [near, far] = options.transport ?? memoryPair({ highWaterMark: 8 * 1024 * 1024, ...options });
  const streams: ChannelStream[] = [];
  const client = role === "answerer";
  const { told, options: all } = listener({
    client,
    opener: role === "opener",
    secure: true,
    onStream: async (stream) => {
      streams.push(stream);
      await stream.closed;
    },
  });
  return {
    channel: new DataChannel(queuedWrites(near), all),
    peer: new FramePeer(far, { client: !client }),
    told,
    streams,
  };
}

/** Ends the test: nothing is left over. */
function end({ channel, peer }: Tested): void {
  channel.close();
  peer.duplex.reset();
}

/** Lets everything that is ready happen. */
async function settle(): Promise<void> {
  for (let i = 0; i < 5; i++) await new Promise((resolve) => setTimeout(resolve, 0));
}

async function readAll(stream: Duplex): Promise<number[]> {
  const bytes: number[] = [];
  for (let piece = await stream.read(); piece !== null; piece = await stream.read()) bytes.push(...piece);
  return bytes;
}

for (const client of [true, false]) {
  const [right, wrong] = client ? ["open", "connect"] as const : ["connect", "open"] as const;
  Deno.test(`a ${client ? "client" : "server"} is opened streams with "${right}", and with nothing else`, async () => {
    const firsts = { open: OPEN, connect: { kind: "connect", destination: toDestination("redis", 6379) } } as const;
    for (const first of [right, wrong]) {
      const [near, far] = memoryPair();
      const taken: unknown[] = [];
      const { told, options } = listener({
        ...{ client, opener: false, secure: true },
        onStream: async (stream, open) => {
          taken.push(open);
          await stream.closed;
        },
        onConnect: async (stream, connect) => {
          taken.push(connect);
          await stream.closed;
        },
      });
      const channel = new DataChannel(queuedWrites(near), options);
      const peer = new FramePeer(far, { client: !client });
      await peer.say(firsts[first]);
      await settle();
      assert.deepEqual(taken, first === right ? [firsts[right]] : []);
      assert.deepEqual(told.closed.map((fault) => fault?.kind), first === right ? [] : ["PROTOCOL_VIOLATION"]);
      channel.close();
      peer.duplex.reset();
    }
  });
}

Deno.test("a channel carries stream after stream, in every order of their ends", async () => {
  const [near, far] = memoryPair({ highWaterMark: 100_000, maxRead: 61 });
  const opener = listener({ client: false, opener: true, secure: true });
  const answerer = listener({
    client: true,
    opener: false,
    secure: true,
    onStream: async (stream, open) => {
      await stream.accept();
      if (open.revision % 3 === 0) await stream.closeWrite(); // Answers nothing, before it has seen the end.
      const seen = await readAll(stream);
      stream.delivered = seen.length;
      if (open.revision % 3 !== 0) await stream.write(Uint8Array.from(seen).reverse());
      await stream.closeWrite();
    },
  });
  const opening = new DataChannel(near, opener.options);
  const answering = new DataChannel(far, answerer.options);
  for (let i = 0; i < 100; i++) {
    const stream = opening.open({ ...OPEN, revision: i });
    assert.equal(opening.busy, true);
    stream.delivered = 7;
    const sent = Array.from({ length: i * 3 }, (_, at) => (i + at) & 0xff);
    if (sent.length > 0) await stream.write(Uint8Array.from(sent));
    if (i % 2 === 0) await stream.closeWrite();
    else await stream.opened().then(() => stream.closeWrite());
    assert.deepEqual(await readAll(stream), i % 3 === 0 ? [] : sent.reverse());
    assert.equal(stream.finWritten, i % 3 === 0 ? 0 : sent.length);
    await stream.closed;
    assert.equal(opening.busy, false);
    assert.equal(opener.told.idle, i + 1);
  }
  opening.close();
  await Promise.all([opener.told.whenClosed, answerer.told.whenClosed]);
  assert.deepEqual([opener.told.closed, answerer.told.closed], [[undefined], [undefined]]);
  assert.equal(answering.closed, true);
});

Deno.test("open() sends the open, and bytes may follow before the ok", async () => {
  const tested = channelOf("opener");
  const { channel, peer } = tested;
  const stream = channel.open(OPEN);
  await stream.write(BYTES);
  assert.deepEqual(await peer.heard(), OPEN);
  assert.deepEqual((await peer.next())?.payload, BYTES);
  assert.equal(stream.answered, false);
  await peer.say({ kind: "ok" });
  await stream.opened();
  assert.equal(stream.answered, true);
  await stream.opened();
  end(tested);
});

Deno.test("open() refuses a channel that carries a stream, and one that is closed", async () => {
  const tested = channelOf("opener");
  tested.channel.open(OPEN);
  assert.throws(() => tested.channel.open(OPEN), /carries one/);
  end(tested);
  assert.throws(() => tested.channel.open(OPEN), StreamResetError);
  await tested.told.whenClosed;
});

Deno.test("what the peer sends at once with its ok is not lost", async () => {
  const tested = channelOf("opener");
  const { channel, peer, told } = tested;
  const stream = channel.open(OPEN);
  await peer.raw(
    peer.message({ kind: "ok" }),
    peer.frame(OPCODE.binary, BYTES),
    peer.message({ kind: "fin", written: 9 }),
  );
  await stream.opened();
  assert.deepEqual(await readAll(stream), [1, 2, 3]);
  assert.equal(stream.finWritten, 9);
  assert.equal(told.idle, 0);
  await stream.closeWrite();
  assert.equal(told.idle, 1);
  end(tested);
});

Deno.test("an answerer takes streams that come in one piece, one after the other", async () => {
  const seen: number[] = [];
  const [near, far] = memoryPair({ highWaterMark: 100_000 });
  const { options, told } = listener({
    client: true,
    opener: false,
    secure: true,
    onStream: async (stream, { revision }) => {
      await stream.accept();
      seen.push(revision, ...await readAll(stream));
      await stream.closeWrite();
    },
  });
  const channel = new DataChannel(near, options);
  const peer = new FramePeer(far, { client: false });
  await peer.raw(...[1, 2, 3].flatMap((revision) => [
    peer.message({ ...OPEN, revision }),
    peer.frame(OPCODE.binary, Uint8Array.of(revision * 10)),
    peer.message({ kind: "fin", written: 0 }),
  ]));
  for (let i = 0; i < 3; i++) {
    assert.deepEqual(await peer.heard(), { kind: "ok" });
    assert.deepEqual(await peer.heard(), { kind: "fin", written: 0 });
  }
  assert.deepEqual(seen, [1, 10, 2, 20, 3, 30]);
  assert.deepEqual(told.closed, []);
  channel.close();
  peer.duplex.reset();
});

Deno.test("a channel takes what came behind the upgrade", async () => {
  const [near, far] = memoryPair();
  const peer = new FramePeer(far, { client: false });
  const initial = Uint8Array.from([...peer.message(OPEN), ...peer.frame(OPCODE.binary, BYTES), 0x81]);
  const opened = Promise.withResolvers<[ChannelStream, StreamOpen]>();
  const channel = new DataChannel(near, {
    client: true,
    opener: false,
    secure: true,
    initial,
    onStream: async (stream, open) => {
      opened.resolve([stream, open]);
      await stream.closed;
    },
  });
  const [stream, open] = await opened.promise;
  assert.deepEqual(open, OPEN);
  assert.deepEqual(await stream.read(), BYTES);
  await peer.raw(peer.message({ kind: "fin", written: 0 }).subarray(1));
  assert.equal(await stream.read(), null);
  channel.close();
  far.reset();
});

Deno.test("a refusal reaches the opener, whose fin frees the channel at both ends", async () => {
  const [near, far] = memoryPair({ highWaterMark: 100_000 });
  const opener = listener({ client: false, opener: true, secure: true });
  let refuse = true;
  const answerer = listener({
    client: true,
    opener: false,
    secure: true,
    onStream: async (stream) => {
      if (refuse) return await stream.refuse(REFUSED);
      await stream.accept();
      await stream.closeWrite();
      await readAll(stream);
    },
  });
  const opening = new DataChannel(near, opener.options);
  const answering = new DataChannel(far, answerer.options);
  for (const how of ["opened", "read"] as const) {
    refuse = true;
    const refused = opening.open(OPEN);
    await refused.write(new Uint8Array(5000));
    await assert.rejects(async () => await refused[how](), isRefused);
    await assert.rejects(async () => await refused.read(), isRefused);
    await assert.rejects(async () => await refused.write(BYTES), isRefused);
    await refused.closed;
    assert.equal(opening.busy, false);
    refuse = false;
    const taken = opening.open(OPEN);
    await taken.closeWrite();
    assert.deepEqual(await readAll(taken), []);
  }
  assert.equal(opener.told.idle, 4);
  assert.deepEqual([opener.told.closed, answerer.told.closed], [[], []]);
  opening.close();
  await answerer.told.whenClosed;
  assert.equal(answering.closed, true);
});

function isRefused(error: unknown): boolean {
  assert.ok(error instanceof CodedError);
  assert.deepEqual([error.kind, error.message], [REFUSED.kind, REFUSED.message]);
  return true;
}

Deno.test("a refusal in the middle of a large write lets no byte follow the fin", async () => {
  const tested = channelOf("opener", { highWaterMark: 10_000 });
  const { channel, peer } = tested;
  const stream = channel.open(OPEN);
  const reading = assert.rejects(async () => await stream.opened(), isRefused);
  const writing = assert.rejects(async () => await stream.write(new Uint8Array(1_000_000)), isRefused);
  await peer.heard();
  await peer.say({ kind: "error", code: REFUSED.code, message: REFUSED.message });
  await settle();
  let bytes = 0;
  for (let frame = await peer.next(); frame?.opcode === OPCODE.binary; frame = await peer.next()) {
    bytes += frame.payload.length;
  }
  assert.ok(bytes < 1_000_000);
  await Promise.all([reading, writing]);
  await settle();
  assert.equal(channel.busy, false);
  const next = channel.open(OPEN);
  assert.deepEqual(await peer.heard(), OPEN);
  next.reset();
  end(tested);
});

Deno.test("a refused opener that had sent its fin sends no second one", async () => {
  const tested = channelOf("opener");
  const { channel, peer, told } = tested;
  const stream = channel.open(OPEN);
  await stream.closeWrite();
  await peer.say({ kind: "error", code: REFUSED.code, message: REFUSED.message });
  await assert.rejects(() => stream.opened(), isRefused);
  assert.deepEqual(await peer.heard(), OPEN);
  assert.deepEqual(await peer.heard(), { kind: "fin", written: 0 });
  assert.equal(told.idle, 1);
  channel.open({ ...OPEN, revision: 2 });
  assert.deepEqual(await peer.heard(), { ...OPEN, revision: 2 });
  end(tested);
});

for (const role of ["opener", "answerer"] as const) {
  Deno.test(`reset() by the ${role} sends an rst with its reason, and the channel is never used again`, async () => {
    const tested = channelOf(role);
    const { channel, peer, told } = tested;
    const stream = await openedStream(tested);
    stream.reset(REFUSED);
    assert.deepEqual(await peer.heard(), { kind: "rst", code: REFUSED.code, message: REFUSED.message });
    assert.equal(await peer.next(), null);
    await peer.duplex.closeWrite();
    await told.whenClosed;
    assert.deepEqual([told.idle, told.closed], [0, [undefined]]);
    assert.equal(channel.closed, true);
    await stream.closed;
  });

  Deno.test(`an rst fails the reads and writes of the ${role} with the peer's reason`, async () => {
    const tested = channelOf(role);
    const { peer, told } = tested;
    const stream = await openedStream(tested);
    await peer.send(OPCODE.binary, BYTES);
    await peer.say({ kind: "rst", code: REFUSED.code, message: REFUSED.message });
    assert.deepEqual(await stream.read(), BYTES);
    await assert.rejects(async () => await stream.read(), isRefused);
    await assert.rejects(async () => await stream.write(BYTES), isRefused);
    await told.whenClosed;
    await stream.closed;
    assert.deepEqual([told.idle, told.closed], [0, [undefined]]);
  });

  Deno.test(`an end of the connection without fin is a reset for the ${role}`, async () => {
    const tested = channelOf(role);
    const { peer, told } = tested;
    const stream = await openedStream(tested);
    const reading = assert.rejects(async () => await readAll(stream), StreamResetError);
    await peer.send(OPCODE.binary, BYTES);
    await peer.duplex.closeWrite();
    await reading;
    await told.whenClosed;
    assert.deepEqual([told.idle, told.closed], [0, [undefined]]);
    peer.duplex.reset();
  });

  Deno.test(`a WebSocket close in the middle of a stream is a reset for the ${role}`, async () => {
    const tested = channelOf(role);
    const stream = await openedStream(tested);
    const reading = assert.rejects(async () => await readAll(stream), StreamResetError);
    await tested.peer.send(OPCODE.close, Uint8Array.of(3, 232));
    await reading;
    await tested.told.whenClosed;
    assert.deepEqual(tested.told.closed, [undefined]);
  });

  Deno.test(`close() of the channel fails what waits at the ${role}, once`, async () => {
    const tested = channelOf(role);
    const { channel, told } = tested;
    const stream = await openedStream(tested);
    const reading = assert.rejects(async () => await stream.read(), StreamResetError);
    channel.close();
    channel.close();
    await reading;
    await stream.closed;
    assert.deepEqual(told.closed, [undefined]);
    stream.reset();
    stream.close();
    await stream.closeWrite();
    end(tested);
  });
}

/** A stream that both ends have taken. */
async function openedStream({ channel, peer, streams }: Tested): Promise<ChannelStream> {
  if (peer.frame(OPCODE.text)[1] !== 0) {
    const stream = channel.open(OPEN);
    assert.deepEqual(await peer.heard(), OPEN);
    await peer.say({ kind: "ok" });
    await stream.opened();
    return stream;
  }
  await peer.say(OPEN);
  while (streams.length === 0) await settle();
  const [stream] = streams;
  assert.ok(stream !== undefined);
  await stream.accept();
  assert.deepEqual(await peer.heard(), { kind: "ok" });
  return stream;
}

Deno.test("an opener that resets after its fin closes the connection, and says no rst that could meet the next stream", async () => {
  const tested = channelOf("opener");
  const { peer, told } = tested;
  const stream = await openedStream(tested);
  await stream.closeWrite();
  assert.deepEqual(await peer.heard(), { kind: "fin", written: 0 });
  stream.reset();
  await assert.rejects(() => peer.next(), StreamResetError);
  await told.whenClosed;
  assert.equal(told.idle, 0);
});

Deno.test("an answerer that resets after its fin ends the connection behind it, so that what it sent arrives", async () => {
  const tested = channelOf("answerer");
  const { peer, told } = tested;
  const stream = await openedStream(tested);
  await stream.write(BYTES);
  await stream.closeWrite();
  stream.reset(new Error("the target went away"));
  assert.deepEqual((await peer.next())?.payload, BYTES);
  assert.deepEqual(await peer.heard(), { kind: "fin", written: 0 });
  assert.equal(await peer.next(), null);
  await peer.send(OPCODE.binary, BYTES); // Still on its way: it is discarded.
  await peer.duplex.closeWrite();
  await told.whenClosed;
  assert.deepEqual([told.idle, told.closed], [0, [undefined]]);
});

Deno.test("an onStream that throws resets its stream", async () => {
  const [near, far] = memoryPair();
  const channel = new DataChannel(near, {
    client: true,
    opener: false,
    secure: true,
    onStream: () => Promise.reject(REFUSED),
  });
  const peer = new FramePeer(far, { client: false });
  await peer.say(OPEN);
  assert.deepEqual(await peer.heard(), { kind: "rst", code: REFUSED.code, message: REFUSED.message });
  channel.close();
  far.reset();
});

Deno.test("an end that came with the last fin does not offer the channel again", async () => {
  const tested = channelOf("opener");
  const { channel, peer, told } = tested;
  const stream = await openedStream(tested);
  await stream.closeWrite();
  await peer.raw(peer.message({ kind: "fin", written: 0 }), peer.frame(OPCODE.close));
  assert.equal(await stream.read(), null);
  await told.whenClosed;
  assert.deepEqual([told.idle, told.closed, channel.closed], [0, [undefined], true]);
});

Deno.test("an idle channel that the peer closes is gone, without a violation", async () => {
  for (const role of ["opener", "answerer"] as const) {
    const { peer, told, channel } = channelOf(role);
    await peer.duplex.closeWrite();
    await told.whenClosed;
    assert.deepEqual([told.closed, channel.closed], [[undefined], true]);
    peer.duplex.reset();
  }
});

type Step = (peer: FramePeer) => Uint8Array | Uint8Array[];

/** What a peer must not say: in which state of the channel, and what. */
const VIOLATIONS: readonly (readonly [
  what: string,
  state: "idle" | "open" | "answered" | "ended",
  role: "opener" | "answerer",
  Step,
])[] = [
  ["bytes on an idle channel", "idle", "opener", (peer) => peer.frame(OPCODE.binary, BYTES)],
  ["bytes on an idle channel", "idle", "answerer", (peer) => peer.frame(OPCODE.binary, BYTES)],
  ["an open to the side that opens", "idle", "opener", (peer) => peer.message(OPEN)],
  ["an ok on an idle channel", "idle", "opener", (peer) => peer.message({ kind: "ok" })],
  ["a fin on an idle channel", "idle", "answerer", (peer) => peer.message({ kind: "fin", written: 0 })],
  ["an rst on an idle channel", "idle", "answerer", (peer) => peer.message({ kind: "rst", code: "E1", message: "" })],
  ["bytes before ok", "open", "opener", (peer) => peer.frame(OPCODE.binary, BYTES)],
  ["a fin before ok", "open", "opener", (peer) => peer.message({ kind: "fin", written: 0 })],
  ["an open as the answer", "open", "opener", (peer) => peer.message(OPEN)],
  ["ok twice", "answered", "opener", (peer) => peer.message({ kind: "ok" })],
  ["an error after ok", "answered", "opener", (peer) => peer.message({ kind: "error", code: "E1", message: "" })],
  ["an open within a stream", "answered", "answerer", (peer) => peer.message(OPEN)],
  ["an ok from the opener", "answered", "answerer", (peer) => peer.message({ kind: "ok" })],
  [
    "an error from the opener",
    "answered",
    "answerer",
    (peer) => peer.message({ kind: "error", code: "E1", message: "" }),
  ],
  ["bytes after both ends", "ended", "opener", (peer) => peer.frame(OPCODE.binary, BYTES)],
  ["text that is no message", "answered", "opener", (peer) => peer.frame(OPCODE.text, "hello")],
  ["text that is not UTF-8", "answered", "opener", (peer) => peer.frame(OPCODE.text, Uint8Array.of(0xff, 0xfe))],
  ["a message over 16 KiB", "answered", "opener", (peer) => peer.frame(OPCODE.text, " ".repeat(16_385))],
  ["a message in pieces over 16 KiB", "idle", "answerer", (peer) => [
    peer.frame(OPCODE.text, " ".repeat(10_000), { fin: false }),
    peer.frame(OPCODE.continuation, " ".repeat(10_000)),
  ]],
  ["a message in 65 pieces", "idle", "answerer", (peer) => [
    peer.frame(OPCODE.text, "{", { fin: false }),
    ...repeat(64, peer.frame(OPCODE.continuation, " ", { fin: false })),
  ]],
  ["a message in endless empty pieces", "idle", "answerer", (peer) => [
    peer.frame(OPCODE.text, "", { fin: false }),
    ...repeat(64, peer.frame(OPCODE.continuation, "", { fin: false })),
  ]],
  ["bytes in endless empty pieces", "answered", "opener", (peer) => [
    peer.frame(OPCODE.binary, "", { fin: false }),
    ...repeat(64, peer.frame(OPCODE.continuation, "", { fin: false })),
  ]],
  ["a continuation of nothing", "answered", "opener", (peer) => peer.frame(OPCODE.continuation, BYTES)],
  ["a message within a fragmented one", "answered", "opener", (peer) => [
    peer.frame(OPCODE.binary, BYTES, { fin: false }),
    peer.message({ kind: "fin", written: 0 }),
  ]],
  ["bytes within a fragmented message", "answered", "opener", (peer) => [
    peer.frame(OPCODE.text, "{", { fin: false }),
    peer.frame(OPCODE.binary, BYTES),
  ]],
  ["a flood of pings", "idle", "opener", (peer) => repeat(3 * MAX_CONTROL_FRAMES_PER_S, peer.frame(OPCODE.ping))],
  [
    "a flood of pongs nobody asked for",
    "answered",
    "answerer",
    (peer) => repeat(3 * MAX_CONTROL_FRAMES_PER_S, peer.frame(OPCODE.pong)),
  ],
  ["a frame over 1 MiB", "answered", "opener", (peer) => [
    peer.frame(OPCODE.binary).subarray(0, 1),
    Uint8Array.of(127 | (peer.frame(OPCODE.binary)[1]! & 0x80), 0, 0, 0, 0, 0, 0x10, 0, 1, 0, 0, 0, 0),
  ]],
  [
    "a frame of the wrong side",
    "idle",
    "answerer",
    (peer) => new FramePeer(peer.duplex, { client: true }).frame(OPCODE.ping),
  ],
  ["a reserved bit", "idle", "answerer", () => Uint8Array.of(0xc2, 0)],
];

function repeat(count: number, frame: Uint8Array): Uint8Array[] {
  return Array.from({ length: count }, () => frame);
}

for (const [what, state, role, step] of VIOLATIONS) {
  Deno.test(`${what} (${state}, at the ${role}) ends the channel as a violation`, async () => {
    const tested = channelOf(role);
    const { channel, peer, told } = tested;
    let stream: ChannelStream | undefined;
    if (state === "open") stream = channel.open(OPEN);
    if (state === "answered" || state === "ended") stream = await openedStream(tested);
    if (state === "ended") {
      await stream!.closeWrite();
      await peer.say({ kind: "fin", written: 0 });
      assert.equal(await stream!.read(), null);
    }
    const failing = stream === undefined || state === "ended" ? undefined : assert.rejects(async () => {
      await stream.opened();
      await readAll(stream);
    });
    await peer.raw(...[step(peer)].flat()).catch(() => {
      // It may be cut before all is sent.
    });
    await told.whenClosed;
    assert.equal(told.closed.length, 1);
    assert.ok(told.closed[0] instanceof ProtocolError, String(told.closed[0]));
    assert.equal(channel.closed, true);
    await failing;
    await stream?.closed;
    end(tested);
  });
}

Deno.test("binary frames that an intermediary re-fragmented pass through as bytes, pings in between", async () => {
  const tested = channelOf("opener", { maxRead: 5 });
  const { peer } = tested;
  const stream = await openedStream(tested);
  await peer.raw(
    peer.frame(OPCODE.binary, Uint8Array.of(1, 2), { fin: false }),
    peer.frame(OPCODE.ping, "between"),
    ...repeat(60, peer.frame(OPCODE.continuation, "", { fin: false })),
    ...repeat(200, peer.frame(OPCODE.continuation, Uint8Array.of(3), { fin: false })),
    peer.frame(OPCODE.continuation, Uint8Array.of(4)),
    // The next message counts anew.
    peer.frame(OPCODE.binary, "", { fin: false }),
    ...repeat(60, peer.frame(OPCODE.continuation, "", { fin: false })),
    peer.frame(OPCODE.continuation, Uint8Array.of(5)),
    peer.message({ kind: "fin", written: 0 }),
  );
  assert.deepEqual(await readAll(stream), [1, 2, ...new Array(200).fill(3), 4, 5]);
  assert.deepEqual(await peer.next(), { opcode: OPCODE.pong, payload: new TextEncoder().encode("between"), text: "" });
  end(tested);
});

Deno.test("a message that an intermediary fragmented is put together again", async () => {
  const tested = channelOf("answerer", { maxRead: 3 });
  const { peer, streams } = tested;
  const text = JSON.stringify(OPEN);
  await peer.raw(
    peer.frame(OPCODE.text, text.slice(0, 10), { fin: false }),
    peer.frame(OPCODE.pong, "unasked"),
    ...[...text.slice(10, 70)].map((character) => peer.frame(OPCODE.continuation, character, { fin: false })),
    peer.frame(OPCODE.continuation, text.slice(70)),
  );
  while (streams.length === 0) await settle();
  assert.deepEqual(tested.told.closed, []);
  end(tested);
});

Deno.test("pings are answered while idle, within a stream, and while it is not read only once that is taken up again", async () => {
  const tested = channelOf("answerer");
  const { peer } = tested;
  await peer.send(OPCODE.ping, "idle");
  assert.deepEqual((await peer.next())?.payload, new TextEncoder().encode("idle"));
  const stream = await openedStream(tested);
  await peer.send(OPCODE.ping, "busy");
  const reading = stream.read();
  assert.deepEqual((await peer.next())?.payload, new TextEncoder().encode("busy"));
  await peer.send(OPCODE.binary, BYTES);
  assert.deepEqual(await reading, BYTES);
  end(tested);
});

Deno.test("pings of a peer that does not read are answered by no more than one pong that waits, and the latest", async () => {
  const tested = channelOf("answerer", { highWaterMark: 10 });
  const { peer, told } = tested;
  for (let i = 0; i < 15; i++) {
    await peer.send(OPCODE.ping, `ping ${i}`);
    await settle();
  }
  const answers: string[] = [];
  do answers.push(new TextDecoder().decode((await peer.next())?.payload)); while (answers.at(-1) !== "ping 14");
  assert.ok(answers.length <= 8, answers.join());
  assert.deepEqual(told.closed, []);
  end(tested);
});

Deno.test("bytes of 64 KiB go out as two equal frames in one write, a million as many", async () => {
  for (const length of [65_528, 65_536, 1_000_000]) {
    const tested = channelOf("opener");
    const { peer } = tested;
    const stream = await openedStream(tested);
    const bytes = Uint8Array.from({ length }, (_, i) => (i * 31 + (i >> 8)) & 0xff);
    await stream.write(bytes);
    const sizes: number[] = [];
    let at = 0;
    while (at < length) {
      const frame = await peer.next();
      assert.equal(frame?.opcode, OPCODE.binary);
      assert.deepEqual(frame.payload, bytes.subarray(at, at + frame.payload.length));
      sizes.push(frame.payload.length);
      at += frame.payload.length;
    }
    assert.equal(sizes.length, Math.ceil(length / 65_528));
    if (length === 65_536) assert.deepEqual(sizes, [32_768, 32_768]);
    end(tested);
  }
});

Deno.test("an empty write sends nothing", async () => {
  const tested = channelOf("opener");
  const stream = await openedStream(tested);
  await stream.write(new Uint8Array(0));
  await stream.write(BYTES);
  assert.deepEqual((await tested.peer.next())?.payload, BYTES);
  end(tested);
});

Deno.test("a client without TLS masks with random keys, with TLS with key 0", async () => {
  for (const secure of [false, true]) {
    const [near, far] = memoryPair({ highWaterMark: 1_000_000 });
    const channel = new DataChannel(near, { client: true, opener: true, secure });
    const stream = channel.open(OPEN);
    await stream.write(new Uint8Array(100));
    await stream.write(new Uint8Array(70_000));
    let wire: number[] = [];
    while (wire.length < 70_100) wire = wire.concat([...(await far.read())!]);
    const decoder = new FrameDecoder({ masked: true, maxPayloadBytes: 100_000 });
    const keys: string[] = [];
    for (let at = 0; at < wire.length;) {
      const short = wire[at + 1]! & 0x7f;
      const header = short === 126 ? 4 : 2;
      const length = short === 126 ? wire[at + 2]! * 256 + wire[at + 3]! : short;
      keys.push(wire.slice(at + header, at + header + 4).join());
      at += header + 4 + length;
    }
    assert.equal(keys.length, 4);
    if (secure) assert.deepEqual(new Set(keys), new Set(["0,0,0,0"]));
    else assert.equal(new Set(keys).size, 4);
    decoder.push(Uint8Array.from(wire));
    let zeros = 0;
    for (let piece = decoder.next(); piece !== null; piece = decoder.next()) {
      if (decoder.opcode === OPCODE.binary) zeros += piece.filter((byte) => byte === 0).length;
    }
    assert.equal(zeros, 70_100);
    channel.close();
    far.reset();
  }
});

Deno.test("checkLiveness() pings after silence, and closes when nothing comes", async () => {
  const tested = channelOf("opener");
  const { channel, peer, told } = tested;
  await settle();
  const start = channel.liveness.heardAt;
  channel.checkLiveness(start + 24_000, LIVENESS);
  channel.checkLiveness(start + 26_000, LIVENESS);
  assert.equal((await peer.next())?.opcode, OPCODE.ping);
  channel.checkLiveness(start + 35_900, LIVENESS);
  assert.equal(channel.closed, false);
  channel.checkLiveness(start + 36_100, LIVENESS);
  assert.equal(channel.closed, true);
  await told.whenClosed;
  assert.deepEqual(told.closed, [undefined]);
  channel.checkLiveness(start + 99_000, LIVENESS);
});

Deno.test("checkLiveness() is content with any byte after its ping", async () => {
  const tested = channelOf("opener");
  const { channel, peer } = tested;
  await settle();
  const start = channel.liveness.heardAt;
  channel.checkLiveness(start + 26_000, LIVENESS);
  await peer.next();
  await peer.raw(Uint8Array.of(0x8a)); // Half a pong.
  await settle();
  channel.checkLiveness(start + 60_000, LIVENESS);
  assert.equal(channel.closed, false);
  end(tested);
});

Deno.test("checkLiveness() does not judge the peer while our own reader is held back, but tells it that we live", async () => {
  const tested = channelOf("answerer");
  const { channel, peer } = tested;
  const stream = await openedStream(tested);
  await peer.send(OPCODE.binary, BYTES);
  await peer.send(OPCODE.binary, BYTES);
  assert.deepEqual(await stream.read(), BYTES);
  await settle();
  const start = performance.now();
  for (let seconds = 0; seconds < 600; seconds++) channel.checkLiveness(start + seconds * 1000, LIVENESS);
  assert.equal(channel.closed, false);
  assert.equal((await peer.next())?.opcode, OPCODE.ping);
  // Taken up again: the peer has its ten seconds from now on.
  await stream.read();
  const reading = assert.rejects(async () => await stream.read(), StreamResetError);
  await settle();
  channel.checkLiveness(start + 610_000, LIVENESS);
  channel.checkLiveness(start + 611_000, LIVENESS);
  assert.equal(channel.closed, false);
  channel.checkLiveness(start + 700_000, LIVENESS);
  channel.checkLiveness(start + 712_000, LIVENESS);
  assert.equal(channel.closed, true);
  await reading;
});

Deno.test("checkLiveness() pings when we only listen, so that a peer whose pings are stuck behind its bytes knows us alive", async () => {
  const tested = channelOf("opener");
  const { channel, peer } = tested;
  const stream = await openedStream(tested);
  const start = performance.now();
  let pings = 0;
  for (let seconds = 1; seconds <= 60; seconds++) {
    // Bytes come every second: the peer is not silent at all.
    await peer.send(OPCODE.binary, BYTES);
    assert.deepEqual(await stream.read(), BYTES);
    channel.liveness.heardAt = start + seconds * 1000;
    channel.checkLiveness(start + seconds * 1000, LIVENESS);
  }
  stream.reset();
  for (let frame = await peer.next(); frame?.opcode === OPCODE.ping; frame = await peer.next()) pings++;
  assert.equal(pings, 2);
  end(tested);
});

Deno.test("the pongs that piled up while we were held back are no flood", async () => {
  const tested = channelOf("answerer");
  const { channel, peer, told } = tested;
  const stream = await openedStream(tested);
  const start = performance.now();
  let pings = 0;
  for (let minutes = 1; minutes <= 60; minutes++) {
    channel.checkLiveness(start + minutes * 60_000, LIVENESS);
    assert.equal((await peer.next())?.opcode, OPCODE.ping);
    await peer.send(OPCODE.pong);
    pings++;
  }
  assert.ok(pings > 2 * MAX_CONTROL_FRAMES_PER_S);
  await peer.send(OPCODE.binary, BYTES);
  assert.deepEqual(await stream.read(), BYTES);
  assert.deepEqual(told.closed, []);
  end(tested);
});

Deno.test("a peer's pings that piled up while nothing was read are no flood, for as long as that was", async () => {
  const tested = channelOf("answerer");
  const { channel, peer, told } = tested;
  const stream = await openedStream(tested);
  channel.liveness.heardAt -= 3_600_000;
  await peer.raw(...repeat(144, peer.frame(OPCODE.ping)), peer.frame(OPCODE.binary, BYTES));
  assert.deepEqual(await stream.read(), BYTES);
  assert.deepEqual(told.closed, []);
  end(tested);
});

Deno.test("pongs and the writes of a stream do not tear each other apart on a Deno.Conn", async () => {
  const tested = channelOf("opener", { transport: await connPair() });
  const { peer } = tested;
  const stream = await openedStream(tested);
  const total = 12_000_000;
  const pings = 15;
  async function write(): Promise<void> {
    for (let at = 0; at < total; at += 50_000) await stream.write(new Uint8Array(50_000).fill(at / 50_000));
    await stream.closeWrite();
  }
  async function ping(): Promise<void> {
    for (let i = 1; i <= pings; i++) {
      await peer.send(OPCODE.ping, `${i}`);
      await settle();
    }
    await peer.say({ kind: "fin", written: 0 });
  }
  async function receive(): Promise<void> {
    let at = 0;
    let pong = 0;
    for (let ended = false; !ended || pong < pings;) {
      const frame = await peer.next();
      assert.ok(frame !== null);
      if (frame.opcode === OPCODE.pong) {
        pong = Number(new TextDecoder().decode(frame.payload));
      } else if (frame.opcode === OPCODE.text) {
        ended = true;
      } else {
        const number = at / 50_000 & 0xff;
        assert.ok(frame.payload.length === 50_000 && frame.payload.every((byte) => byte === number));
        at += 50_000;
      }
    }
    assert.equal(at, total);
  }
  await Promise.all([write(), ping(), readAll(stream), receive()]);
  end(tested);
});
