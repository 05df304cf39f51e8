import assert from "node:assert/strict";
import { ProtocolError, StreamResetError } from "../protocol/errors.ts";
import { OPCODE } from "../protocol/frame.ts";
import { MAX_CONTROL_FRAMES_PER_S, MAX_CONTROL_MESSAGE_BYTES, MAX_FRAGMENTS } from "../protocol/limits.ts";
import type { ControlMessage } from "../protocol/message.ts";
import { ControlChannel } from "./control_channel.ts";
import type { Duplex } from "./duplex.ts";
import { memoryPair, type MemoryPairOptions } from "./memory_duplex.ts";
import { FramePeer } from "./testing/frame_peer.ts";
import { queuedWrites } from "./testing/queued_writes.ts";
import { startTlsPair, tcpPair } from "./testing/socket_pairs.ts";

const POOL: ControlMessage = { kind: "pool", count: 1 };
const DRAIN: ControlMessage = { kind: "drain", graceMs: 1 };

/** A channel at the server, whose client is driven by hand. */
function channelOf(options: MemoryPairOptions = {}): { channel: ControlChannel; peer: FramePeer } {
  const [near, far] = memoryPair({ highWaterMark: 4 * 1024 * 1024, ...options });
  const channel = new ControlChannel(queuedWrites(near), { client: false, secure: true });
  return { channel, peer: new FramePeer(far, { client: true }) };
}

/** Two channels on one connection. */
function joined([client, server]: readonly [Duplex, Duplex], secure = true): [ControlChannel, ControlChannel] {
  return [new ControlChannel(client, { client: true, secure }), new ControlChannel(server, { client: false, secure })];
}

/** A message of nearly the limit. */
function largeRules(): ControlMessage {
  const rules = Array.from({ length: 1000 }, (_, i) => ({
    kind: "tcp" as const,
    transport: "tcp" as const,
    port: 22_000 + i,
    target: `${i}`.padEnd(900, "x"),
    firewall: [],
  }));
  return { kind: "rules", revision: 1, rules };
}

for (const secure of [true, false]) {
  Deno.test(`messages keep their order, small and large, both ways (${secure ? "inside TLS" : "without TLS"})`, async () => {
    const [client, server] = joined(await tcpPair(), secure);
    const messages = [POOL, largeRules(), DRAIN];
    async function receive(channel: ControlChannel): Promise<void> {
      for (const message of messages) assert.deepEqual(await channel.receive(), message);
    }
    const sent = [client, server].flatMap((channel) => messages.map((message) => channel.send(message)));
    await Promise.all([...sent, receive(client), receive(server)]);
    client.reset();
    server.reset();
    await Promise.all([client.closed, server.closed]);
  });
}

Deno.test("a large message goes out in fragments that do not exceed the 16-bit form", async () => {
  const { channel, peer } = channelOf();
  const message = largeRules();
  await channel.send(message);
  let text = "";
  let frames = 0;
  while (text.length < JSON.stringify(message).length) {
    const frame = await peer.next();
    assert.equal(frame?.opcode, frames++ === 0 ? OPCODE.text : OPCODE.continuation);
    assert.ok(frame.payload.length <= 65_535);
    text += new TextDecoder().decode(frame.payload);
  }
  assert.deepEqual(JSON.parse(text), message);
  assert.ok(frames > 10 && frames <= MAX_FRAGMENTS);
  channel.reset();
});

Deno.test("a message may come in any pieces, control frames in between, byte by byte", async () => {
  const { channel, peer } = channelOf({ maxRead: 1 });
  await peer.raw(
    peer.frame(OPCODE.text, '{"kind":', { fin: false }),
    peer.frame(OPCODE.ping, "a"),
    peer.frame(OPCODE.continuation, "", { fin: false }),
    peer.frame(OPCODE.continuation, '"pool","count":1}'),
    peer.frame(OPCODE.text, '{"kind":"later"}'),
  );
  assert.deepEqual(await channel.receive(), POOL);
  assert.deepEqual(await channel.receive(), { kind: "unknown", name: "later" });
  assert.deepEqual(await peer.next(), { opcode: OPCODE.pong, payload: new TextEncoder().encode("a"), text: "" });
  channel.reset();
});

Deno.test("a channel takes what came behind the upgrade", async () => {
  const [near, far] = memoryPair();
  const peer = new FramePeer(far, { client: false });
  const initial = Uint8Array.from([...peer.frame(OPCODE.text, JSON.stringify(POOL)), 0x81]);
  const channel = new ControlChannel(near, { client: true, secure: true, initial });
  assert.deepEqual(await channel.receive(), POOL);
  await peer.raw(peer.frame(OPCODE.text, JSON.stringify(DRAIN)).subarray(1));
  assert.deepEqual(await channel.receive(), DRAIN);
  channel.reset();
});

function repeat(count: number, frame: Uint8Array): Uint8Array[] {
  return Array.from({ length: count }, () => frame);
}

const VIOLATIONS: readonly (readonly [what: string, step: (peer: FramePeer) => Uint8Array[]])[] = [
  ["a binary frame", (peer) => [peer.frame(OPCODE.binary, "x")]],
  ["text that is no message", (peer) => [peer.frame(OPCODE.text, "x")]],
  ["text that is not UTF-8", (peer) => [peer.frame(OPCODE.text, Uint8Array.of(0xc3, 0x28))]],
  ["a continuation of nothing", (peer) => [peer.frame(OPCODE.continuation, "{}")]],
  ["a message within a message", (peer) => [
    peer.frame(OPCODE.text, "{", { fin: false }),
    peer.frame(OPCODE.text, "{}"),
  ]],
  ["too many pieces", (peer) => [
    peer.frame(OPCODE.text, "{", { fin: false }),
    ...repeat(MAX_FRAGMENTS, peer.frame(OPCODE.continuation, " ", { fin: false })),
  ]],
  ["endless empty pieces", (peer) => [
    peer.frame(OPCODE.text, "", { fin: false }),
    ...repeat(MAX_FRAGMENTS, peer.frame(OPCODE.continuation, "", { fin: false })),
  ]],
  [
    "a message over 1 MiB in pieces",
    (peer) =>
      [OPCODE.text, ...new Array(16).fill(OPCODE.continuation)].map((opcode) =>
        peer.frame(opcode, new Uint8Array(65_535).fill(32), { fin: false })
      ),
  ],
  ["a frame over 1 MiB", () => [Uint8Array.of(0x81, 0xff, 0, 0, 0, 0, 0, 0x10, 0, 1, 0, 0, 0, 0)]],
  ["a flood of pings", (peer) => repeat(3 * MAX_CONTROL_FRAMES_PER_S, peer.frame(OPCODE.ping))],
  ["a flood of pongs", (peer) => repeat(3 * MAX_CONTROL_FRAMES_PER_S, peer.frame(OPCODE.pong))],
  ["an unmasked frame", () => [Uint8Array.of(0x81, 2, 0x7b, 0x7d)]],
];

for (const [what, step] of VIOLATIONS) {
  Deno.test(`receive() takes ${what} for a violation`, async () => {
    const { channel, peer } = channelOf({ highWaterMark: MAX_CONTROL_MESSAGE_BYTES * 2 });
    await peer.raw(...step(peer));
    await assert.rejects(() => channel.receive(), ProtocolError);
    channel.reset();
  });
}

Deno.test("receive() gives null at the peer's close, and at the end of the connection", async () => {
  const closing = channelOf();
  await closing.peer.send(OPCODE.close, Uint8Array.of(3, 232));
  assert.equal(await closing.channel.receive(), null);
  closing.channel.reset();
  const ending = channelOf();
  await ending.peer.send(OPCODE.text, "{", { fin: false });
  await ending.peer.duplex.closeWrite();
  assert.equal(await ending.channel.receive(), null);
  ending.channel.reset();
});

Deno.test("receive() throws when the connection breaks, and send() when it is broken", async () => {
  const { channel, peer } = channelOf();
  const receiving = assert.rejects(() => channel.receive(), StreamResetError);
  peer.duplex.reset();
  await receiving;
  await assert.rejects(() => channel.send(POOL), StreamResetError);
  await assert.rejects(() => channel.ping(), StreamResetError);
  await channel.closed;
});

Deno.test("a send that nobody waits for does not fail the process", async () => {
  const { channel, peer } = channelOf();
  peer.duplex.reset();
  channel.send(POOL);
  channel.send(POOL);
  channel.ping();
  await channel.closed;
});

Deno.test("heardAt tells when the peer was last heard", async () => {
  const { channel, peer } = channelOf();
  channel.heardAt = 0;
  await peer.send(OPCODE.text, JSON.stringify(POOL));
  await channel.receive();
  assert.ok(channel.heardAt > 0);
  channel.reset();
});

Deno.test("isAlive() is true at any sign of life, false after the time or when the connection ends", async () => {
  const { channel, peer } = channelOf();
  const receiving = channel.receive();
  const alive = channel.isAlive(60_000);
  assert.equal((await peer.next())?.opcode, OPCODE.ping);
  await peer.send(OPCODE.pong);
  assert.equal(await alive, true);
  assert.equal(await channel.isAlive(1), false);
  const cut = channel.isAlive(60_000);
  const failing = assert.rejects(receiving, StreamResetError);
  peer.duplex.reset();
  assert.equal(await cut, false);
  assert.equal(await channel.isAlive(60_000), false);
  await failing;
});

for (
  const [name, pair] of [["Deno.Conn in TLS to node:tls", startTlsPair], ["node:net to node:net", tcpPair]] as const
) {
  for (const who of [0, 1] as const) {
    Deno.test(`close() delivers the last message before the end, ${name}, ${who === 0 ? "client" : "server"} first`, async () => {
      const both = joined(await pair());
      const [first, second] = who === 0 ? both : [both[1], both[0]];
      // Unread bytes at the side that closes would make a careless close destroy what it has just sent.
      await second.send(POOL);
      const received: unknown[] = [];
      async function receive(): Promise<void> {
        for (let message = await second.receive(); message !== null; message = await second.receive()) {
          received.push(message);
        }
        await second.close();
      }
      first.send(largeRules());
      first.send({ kind: "bye", code: "E3015", message: "Gone", final: true });
      await Promise.all([first.close(), first.close(), receive()]);
      assert.deepEqual(received.at(-1), { kind: "bye", code: "E3015", message: "Gone", final: true });
      assert.equal(received.length, 2);
      assert.equal(await first.receive(), null);
      await Promise.all([first.closed, second.closed]);
    });
  }
}

Deno.test("close() takes over from a receiver that waits, which gets null", async () => {
  const { channel, peer } = channelOf();
  const receiving = channel.receive();
  const closing = channel.close();
  assert.equal((await peer.next())?.opcode, OPCODE.close);
  await peer.send(OPCODE.text, JSON.stringify(POOL)); // It crossed the close: nobody wants it any more.
  await peer.send(OPCODE.close);
  await peer.duplex.closeWrite();
  assert.equal(await receiving, null);
  await closing;
  assert.equal(await channel.receive(), null);
});

Deno.test("close() does not wait for ever for a peer that neither reads nor ends", async () => {
  const { channel, peer } = channelOf({ highWaterMark: 10 });
  channel.send(POOL);
  // It may be told of the close or of the cut.
  const receiving = Promise.allSettled([channel.receive()]);
  await channel.close();
  await receiving;
  await channel.closed;
  peer.duplex.reset();
});

Deno.test("pings of a peer that does not read do not pile up answers", async () => {
  const { channel, peer } = channelOf({ highWaterMark: 10 });
  const receiving = channel.receive();
  for (let i = 0; i < 15; i++) {
    await peer.send(OPCODE.ping, `${i}`);
    await new Promise((resolve) => setTimeout(resolve, 0));
  }
  const answers: string[] = [];
  do answers.push(new TextDecoder().decode((await peer.next())?.payload)); while (answers.at(-1) !== "14");
  assert.ok(answers.length <= 8, answers.join());
  const failing = assert.rejects(receiving);
  channel.reset();
  await failing;
});

Deno.test("a peer that reads nothing of what it is sent is cut before that takes much memory", async () => {
  const { channel, peer } = channelOf({ highWaterMark: 1000 });
  const receiving = assert.rejects(() => channel.receive(), StreamResetError);
  const large = largeRules();
  const sent = Array.from({ length: 10 }, () => channel.send(large));
  await receiving;
  const results = await Promise.allSettled(sent);
  assert.ok(results.every(({ status }) => status === "rejected"));
  await channel.closed;
  peer.duplex.reset();
});
