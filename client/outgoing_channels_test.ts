import assert from "node:assert/strict";
import { DataChannel } from "../net/data_channel.ts";
import { SILENT } from "../net/log.ts";
import { FramePeer } from "../net/testing/frame_peer.ts";
import type { ChannelStream } from "../net/channel_stream.ts";
import { toDestination } from "../protocol/destination.ts";
import { CodedError, type ProtocolError } from "../protocol/errors.ts";
import type { StreamConnect } from "../protocol/stream_message.ts";
import { OutgoingChannels, type OutgoingChannelsOptions } from "./outgoing_channels.ts";
import { resolveServerAddress } from "./server_address.ts";
import { type FakeServer, fakeServer } from "./testing/fake_server.ts";

const REDIS = toDestination("redis", 6379);
const DENIED = new CodedError("DESTINATION_DENIED", "Not for you");

function outgoingOf(server: FakeServer, options: Partial<OutgoingChannelsOptions> = {}): OutgoingChannels {
  return new OutgoingChannels({
    ...{ address: resolveServerAddress(server.address), credential: "session-1.secret-1" },
    ...{ keepIdle: () => false, log: SILENT },
    ...options,
  });
}

/** The server's end of every data channel that comes; `answer` serves its streams. */
async function serving(
  server: FakeServer,
  answer: (stream: ChannelStream, connect: StreamConnect) => Promise<void>,
): Promise<{ channel: DataChannel; violation: Promise<ProtocolError | undefined> }> {
  const { duplex, initial, bearer, target } = await server.dataChannel();
  assert.equal(bearer, "session-1.secret-1");
  assert.equal(target, "/tunnel/v1/data?opener=client");
  const violation = Promise.withResolvers<ProtocolError | undefined>();
  const channel = new DataChannel(duplex, {
    ...{ client: false, opener: false, secure: true, initial, onConnect: answer },
    onClosed: (_channel, fault) => violation.resolve(fault),
  });
  return { channel, violation: violation.promise };
}

/** Sends back what comes. */
async function echo(stream: ChannelStream): Promise<void> {
  await stream.accept();
  for (let bytes = await stream.read(); bytes !== null; bytes = await stream.read()) await stream.write(bytes.slice());
  await stream.closeWrite();
}

async function until(holds: () => boolean): Promise<void> {
  for (let look = 0; !holds(); look++) {
    assert.ok(look < 2_000, "it never came to that");
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

async function exchange(stream: ChannelStream, text: string): Promise<string> {
  await stream.write(new TextEncoder().encode(text));
  await stream.closeWrite();
  let seen = "";
  for (let bytes = await stream.read(); bytes !== null; bytes = await stream.read()) {
    seen += new TextDecoder().decode(bytes);
  }
  return seen;
}

Deno.test("open() dials when no channel is idle, says where it wants to go, and uses the channel again", async () => {
  await using server = await fakeServer();
  const channels = outgoingOf(server);
  const wanted: unknown[] = [];
  const served = serving(server, (stream, connect) => {
    wanted.push(connect);
    return echo(stream);
  });
  for (const text of ["one", "two"]) assert.equal(await exchange(await channels.open(REDIS), text), text);
  await served;
  const destination = { transport: "tcp", host: "redis", port: 6379 };
  assert.deepEqual(wanted, [{ kind: "connect", destination }, { kind: "connect", destination }]);
  assert.deepEqual(channels.counts, { channels: 1, idle: 1, waiting: 0 });
  await channels.end();
  assert.deepEqual(channels.counts, { channels: 0, idle: 0, waiting: 0 });
});

Deno.test("open() throws the server's refusal, and the channel stays good", async () => {
  await using server = await fakeServer();
  const channels = outgoingOf(server);
  let refuse = true;
  void serving(server, (stream) => refuse ? stream.refuse(DENIED) : echo(stream));
  await assert.rejects(channels.open(REDIS), { kind: "DESTINATION_DENIED", message: "Not for you" });
  refuse = false;
  assert.equal(await exchange(await channels.open(REDIS), "again"), "again");
  assert.equal(channels.counts.channels, 1);
  await channels.end();
});

Deno.test("the channel used last is taken first", async () => {
  await using server = await fakeServer();
  const channels = outgoingOf(server);
  const carried = new Map<ChannelStream, number>();
  const answer = (number: number) => (stream: ChannelStream): Promise<void> => {
    carried.set(stream, number);
    return echo(stream);
  };
  const opening = [channels.open(REDIS), channels.open(REDIS)];
  await Promise.all([serving(server, answer(1)), serving(server, answer(2))]);
  const [first, second] = await Promise.all(opening);
  await exchange(first!, "a");
  await exchange(second!, "b");
  const last = [...carried.values()][1];
  await exchange(await channels.open(REDIS), "c");
  assert.equal([...carried.values()][2], last);
  await channels.end();
});

Deno.test("a burst dials at most 8 at once, and every stream gets a channel", async () => {
  await using server = await fakeServer();
  server.data = "ignore";
  const channels = outgoingOf(server, { upgradeMs: 100 });
  const failed = Promise.allSettled(Array.from({ length: 8 }, () => channels.open(REDIS)));
  await until(() => server.open === 8);
  const opening = Array.from({ length: 12 }, () => channels.open(REDIS));
  await new Promise((resolve) => setTimeout(resolve, 20));
  assert.equal(server.open, 8);
  server.data = "accept";
  for (const { status } of await failed) assert.equal(status, "rejected");
  for (let count = 0; count < 12; count++) void serving(server, echo).catch(() => {/* the test is over */});
  for (const stream of await Promise.all(opening)) assert.equal(await exchange(stream, "x"), "x");
  await channels.end();
});

Deno.test("a dial that fails fails one waiting stream, with the server's reason", async () => {
  await using server = await fakeServer();
  server.data = "refuse";
  const channels = outgoingOf(server);
  await assert.rejects(channels.open(REDIS), { kind: "SESSION_UNKNOWN" });
  assert.equal(channels.counts.waiting, 0);
  await channels.end();
});

Deno.test("more than 1,024 streams do not wait", async () => {
  await using server = await fakeServer();
  server.data = "ignore";
  const channels = outgoingOf(server);
  const waiting = Array.from({ length: 1_024 }, () => channels.open(REDIS));
  const settled = Promise.allSettled(waiting);
  await assert.rejects(channels.open(REDIS), { kind: "TUNNEL_BUSY" });
  await channels.end();
  for (const each of await settled) {
    assert.equal(each.status === "rejected" && each.reason.kind, "SESSION_CLOSED");
  }
});

Deno.test("a signal ends the wait for a channel and for an answer; what was opened lives on", async () => {
  await using server = await fakeServer();
  server.data = "ignore";
  const channels = outgoingOf(server, { upgradeMs: 200 });
  const first = new AbortController();
  const dialling = channels.open(REDIS, { signal: first.signal });
  await until(() => server.open === 1);
  first.abort(new CodedError("STREAM_RESET", "the visitor left"));
  await assert.rejects(dialling, { message: "the visitor left" });
  server.data = "accept";
  const second = new AbortController();
  const asked = Promise.withResolvers<void>();
  void serving(server, async (stream) => {
    asked.resolve();
    await stream.closed;
  });
  const opening = channels.open(REDIS, { signal: second.signal });
  await asked.promise;
  second.abort(new CodedError("STREAM_RESET", "gone as well"));
  await assert.rejects(opening, { message: "gone as well" });
  const third = new AbortController();
  const accepted = serving(server, echo);
  const stream = await channels.open(REDIS, { signal: third.signal });
  await accepted;
  third.abort();
  assert.equal(await exchange(stream, "still here"), "still here");
  await channels.end();
});

Deno.test("one channel is kept idle while there is a door, and none after a quiet minute without", async () => {
  await using server = await fakeServer();
  let doors = true;
  const channels = outgoingOf(server, { keepIdle: () => doors });
  channels.sweep(performance.now());
  await serving(server, echo);
  await until(() => channels.counts.idle === 1);
  const replaced = serving(server, echo);
  const stream = await channels.open(REDIS);
  await replaced;
  await until(() => channels.counts.idle === 1);
  await exchange(stream, "x");
  assert.equal(channels.counts.idle, 2);
  const quiet = performance.now() + 60_001;
  channels.sweep(quiet);
  await until(() => channels.counts.channels === 1);
  assert.equal(channels.counts.idle, 1);
  doors = false;
  channels.sweep(quiet);
  await until(() => channels.counts.channels === 0);
  await channels.end();
});

Deno.test("retire() lets what was sent last arrive, and opens nothing more", async () => {
  await using server = await fakeServer();
  const channels = outgoingOf(server);
  void serving(server, echo);
  const stream = await channels.open(REDIS);
  assert.equal(await exchange(stream, "x"), "x");
  await channels.idle();
  await channels.retire();
  assert.equal(channels.counts.channels, 0);
  await assert.rejects(channels.open(REDIS), { kind: "SESSION_CLOSED" });
  await channels.end();
});

Deno.test("a server that opens a stream on the client's own channel loses it", async () => {
  await using server = await fakeServer();
  const errors: string[] = [];
  const channels = outgoingOf(server, { log: { ...SILENT, error: (event) => errors.push(event) } });
  const opening = assert.rejects(channels.open(REDIS), { kind: "STREAM_RESET" });
  const { duplex } = await server.dataChannel();
  const peer = new FramePeer(duplex, { client: false });
  assert.equal((await peer.heard()).kind, "connect");
  const visitor = { address: "192.0.2.1", port: 1 };
  await peer.say({ kind: "open", rule: "tcp/1", revision: 1, protocol: "tcp", visitor });
  await opening;
  assert.deepEqual(channels.counts, { channels: 0, idle: 0, waiting: 0 });
  assert.deepEqual(errors, ["server broke the protocol"]);
  await channels.end();
});
