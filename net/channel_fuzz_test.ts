import assert from "node:assert/strict";
import fc from "fast-check";
import { CodedError, ProtocolError } from "../protocol/errors.ts";
import { OPCODE } from "../protocol/frame.ts";
import type { StreamMessage } from "../protocol/stream_message.ts";
import { ControlChannel } from "./control_channel.ts";
import type { ChannelStream } from "./channel_stream.ts";
import { DataChannel } from "./data_channel.ts";
import { memoryPair } from "./memory_duplex.ts";
import { FramePeer } from "./testing/frame_peer.ts";
import { queuedWrites } from "./testing/queued_writes.ts";

const RUNS = Deno.env.get("SOAK") === "1" ? 50_000 : 1_000;
const OPEN = {
  kind: "open",
  rule: "tcp/22000",
  revision: 1,
  protocol: "tcp",
  visitor: { address: "192.0.2.7", port: 4711 },
} as const;

/** Frames a peer may send, most of them right by themselves. */
const FRAME = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.constantFrom(
      ...[OPEN, { kind: "ok" }, { kind: "fin", written: 3 }, { kind: "rst", code: "E2011", message: "" }, {
        kind: "error",
        code: "E2001",
        message: "no",
      }].map((message) => ({
        opcode: OPCODE.text,
        payload: new TextEncoder().encode(JSON.stringify(message)),
        fin: true,
      })),
    ),
  },
  {
    weight: 4,
    arbitrary: fc.record({
      opcode: fc.constantFrom(...Object.values(OPCODE)),
      payload: fc.uint8Array({ maxLength: 130 }),
      fin: fc.boolean(),
    }),
  },
);

/** What a peer sends: frames, now and then with a byte changed, cut anywhere. */
const STREAM = fc.record({
  /** Whether a stream begins as it should. */
  begun: fc.boolean(),
  frames: fc.array(FRAME, { maxLength: 12 }),
  noise: fc.option(fc.tuple(fc.nat(2000), fc.nat(255)), { freq: 3 }),
  maxRead: fc.integer({ min: 1, max: 400 }),
});

type Sent = typeof STREAM extends fc.Arbitrary<infer T> ? T : never;

async function play(peer: FramePeer, { begun, frames, noise }: Sent, begin?: StreamMessage): Promise<void> {
  if (begun && begin !== undefined) await peer.say(begin);
  const bytes = Uint8Array.from(
    frames.flatMap(({ opcode, payload, fin }) => [...peer.frame(opcode, payload, { fin })]),
  );
  if (noise !== null && bytes.length > 0) bytes[noise[0] % bytes.length] = noise[1];
  try {
    await peer.raw(bytes);
    await peer.duplex.closeWrite();
  } catch {
    // It was cut for what it said.
  }
}

/** Reads to the end, answering as an honest end would. */
async function use(stream: ChannelStream): Promise<void> {
  try {
    while (await stream.read() !== null);
    await stream.write(new Uint8Array(3));
    await stream.closeWrite();
  } catch (error) {
    assert.ok(error instanceof CodedError, String(error));
    stream.reset(error);
  }
  await stream.closed;
}

for (const role of ["opener", "answerer"] as const) {
  Deno.test(`whatever is sent to the ${role} of a data channel, it ends once, and all its streams with it`, async () => {
    await fc.assert(
      fc.asyncProperty(STREAM, async (sent) => {
        const [near, far] = memoryPair({ highWaterMark: 1_000_000, maxRead: sent.maxRead });
        const streams: Promise<void>[] = [];
        const gone = Promise.withResolvers<void>();
        const ends: (ProtocolError | undefined)[] = [];
        const channel = new DataChannel(queuedWrites(near), {
          client: role === "answerer",
          opener: role === "opener",
          secure: true,
          onStream: async (stream) => {
            const used = stream.accept() ?? Promise.resolve();
            streams.push((async () => await used)().then(() => use(stream), (error) => stream.reset(error)));
            await stream.closed;
          },
          onClosed: (_, violation) => {
            ends.push(violation);
            gone.resolve();
          },
        });
        if (role === "opener") streams.push(use(channel.open(OPEN)));
        const begin: StreamMessage = role === "opener" ? { kind: "ok" } : OPEN;
        await play(new FramePeer(far, { client: role === "opener" }), sent, begin);
        await Promise.all([gone.promise, ...streams]);
        assert.equal(ends.length, 1);
        assert.ok(ends[0] === undefined || ends[0] instanceof ProtocolError);
        far.reset();
      }),
      { numRuns: RUNS },
    );
  });
}

Deno.test("whatever is sent to a control channel, it gives messages, the end, or a coded error", async () => {
  await fc.assert(
    fc.asyncProperty(STREAM, async (sent) => {
      const [near, far] = memoryPair({ highWaterMark: 1_000_000, maxRead: sent.maxRead });
      const channel = new ControlChannel(queuedWrites(near), { client: false, secure: true });
      await play(new FramePeer(far, { client: true }), sent);
      try {
        while (await channel.receive() !== null);
      } catch (error) {
        assert.ok(error instanceof CodedError, String(error));
      }
      channel.reset();
      far.reset();
      await channel.closed;
    }),
    { numRuns: RUNS },
  );
});
