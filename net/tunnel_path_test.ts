import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { DataChannel } from "./data_channel.ts";
import type { Duplex } from "./duplex.ts";
import { pipe } from "./pipe.ts";
import { connPair, startTlsPair, tcpPair } from "./testing/socket_pairs.ts";

const ROUNDS = Deno.env.get("SOAK") === "1" ? 20 : 1;
const CONNECTIONS = 16;
const OPEN = {
  rule: "tcp/22000",
  revision: 1,
  protocol: "tcp",
  visitor: { address: "192.0.2.7", port: 4711 },
} as const;
const LINGER = { lingerMs: 60_000 };

/** A visitor and a target, joined as server and client do it: socket, pipe, data channel, pipe, socket. */
async function path(transports: () => Promise<readonly [client: Duplex, server: Duplex]>, secure: boolean): Promise<{
  visitor: Duplex;
  target: Duplex;
  done: Promise<unknown>;
}> {
  const [client, server] = await transports();
  const [visitor, edge] = await tcpPair();
  const [targetSide, target] = await tcpPair();
  const served = Promise.withResolvers<void>();
  let begun = false;
  const channels = [
    new DataChannel(client, {
      client: true,
      opener: false,
      secure,
      onStream: async (stream) => {
        begun = true;
        try {
          await stream.accept();
          await pipe(stream, targetSide, LINGER);
        } finally {
          targetSide.close();
          served.resolve();
        }
      },
      onClosed: () => {
        if (begun) return;
        targetSide.reset(); // It was cut before the open had come: nobody else knows the target.
        served.resolve();
      },
    }),
    new DataChannel(server, { client: false, opener: true, secure }),
  ];
  const done = Promise.allSettled([pipe(edge, channels[1]!.open(OPEN), LINGER), served.promise]).then(() => {
    for (const channel of channels) channel.close();
    return Promise.all([edge.closed, targetSide.closed, client.closed, server.closed]);
  });
  return { visitor, target, done };
}

/** A random number below `below`, the same in each run. */
function randomNumbers(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) & 0x7fffffff;
    return (state >> 8) % below;
  };
}

/** The data of a connection repeats itself after so many bytes. */
const PERIOD_BYTES = 131_072;

/** The data of a connection, twice its period long: no two connections agree for long. */
function dataOf(tag: number): Uint8Array {
  return Uint8Array.from({ length: 2 * PERIOD_BYTES }, (_, at) => (at * 7 + (at >> 9) + tag * 101) & 0xff);
}

async function send(duplex: Duplex, tag: number, total: number): Promise<void> {
  const random = randomNumbers(tag + 1);
  const data = dataOf(tag);
  for (let sent = 0; sent < total;) {
    const size = Math.min(total - sent, 1 + random(random(4) === 0 ? PERIOD_BYTES : 5_000));
    const from = sent % PERIOD_BYTES;
    await duplex.write(data.slice(from, from + size));
    sent += size;
  }
  await duplex.closeWrite();
}

/** Reads to the end, and looks at every byte. A late reader makes the whole path fill up first. */
async function check(duplex: Duplex, tag: number, options: { late: boolean }): Promise<number> {
  const data = dataOf(tag);
  if (options.late) await new Promise((resolve) => setTimeout(resolve, 200));
  let at = 0;
  for (let bytes = await duplex.read(); bytes !== null; bytes = await duplex.read()) {
    const from = at % PERIOD_BYTES;
    const same = Buffer.compare(bytes, data.subarray(from, from + bytes.length)) === 0;
    if (!same) assert.fail(`some of the ${bytes.length} bytes from ${at} of connection ${tag} are others'`);
    at += bytes.length;
  }
  return at;
}

for (
  const [name, transports, secure] of [
    ["Deno.Conn in TLS", startTlsPair, true],
    ["node:net without TLS", tcpPair, false],
    ["Deno.Conn without TLS", connPair, false],
  ] as const
) {
  Deno.test(`no byte of one connection ever reaches another, though memory is used again and some are cut (${name})`, async () => {
    for (let round = 0; round < ROUNDS; round++) {
      await Promise.all(Array.from({ length: CONNECTIONS }, async (_, i) => {
        const tag = round * CONNECTIONS + i;
        const late = i % 8 === 0;
        const total = late ? 16_000_000 : 50_000 + (tag * 70_001) % 900_000;
        const { visitor, target, done } = await path(transports, secure);
        const work = [
          send(visitor, tag, total),
          send(target, tag + 128, total),
          check(target, tag, { late }),
          check(visitor, tag + 128, { late }),
        ];
        if (i % 5 === 4) {
          // Cut in the middle: what came until then is right all the same.
          await new Promise((resolve) => setTimeout(resolve, 1 + i));
          (i % 2 === 0 ? visitor : target).reset();
          const failures = await Promise.allSettled(work);
          for (const each of failures) {
            if (each.status === "rejected") assert.ok(!(each.reason instanceof assert.AssertionError), each.reason);
          }
        } else {
          const [, , up, down] = await Promise.all(work);
          assert.deepEqual([up, down], [total, total]);
        }
        await done;
        visitor.close();
        target.close();
        await Promise.all([visitor.closed, target.closed]);
      }));
    }
  });
}
