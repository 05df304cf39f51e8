import assert from "node:assert/strict";
import { CodedError, type ProtocolError } from "../protocol/errors.ts";
import type { ChannelStream } from "./channel_stream.ts";
import { DataChannel } from "./data_channel.ts";
import type { Duplex } from "./duplex.ts";
import { connPair, startTlsPair, tcpPair } from "./testing/socket_pairs.ts";

const STREAMS = Deno.env.get("SOAK") === "1" ? 5_000 : 80;
const OPEN = { rule: "tcp/22000", protocol: "tcp", visitor: { address: "192.0.2.7", port: 4711 } } as const;

/** What one end of a stream has sent so far, and whether it has ended its direction. */
interface Account {
  sent: number;
  ended: boolean;
}

/** Two honest ends that do whatever streams may do, at random but the same for the same seed. */
class Pair {
  /** What must never happen. */
  readonly faults: string[] = [];
  /** Streams that both ends saw to a clean end. */
  complete = 0;
  channels = 0;
  readonly #transports: () => Promise<readonly [Duplex, Duplex]>;
  readonly #accounts = new Map<number, { opener: Account; answerer: Account }>();
  readonly #answering = new Set<Promise<void>>();
  #both: DataChannel[] = [];
  #idle = Promise.withResolvers<void>();
  #random: number;

  constructor(transports: () => Promise<readonly [Duplex, Duplex]>, seed: number) {
    this.#transports = transports;
    this.#random = seed;
  }

  /** One stream; the channel is the last one if that is idle again, else a new one. */
  async run(revision: number): Promise<void> {
    const accounts = { opener: { sent: 0, ended: false }, answerer: { sent: 0, ended: false } };
    this.#accounts.set(revision, accounts);
    const channel = await this.#channel();
    this.#idle = Promise.withResolvers();
    const stream = channel.open({ ...OPEN, revision });
    if (this.#chance(4)) await stream.opened().catch(() => undefined);
    const ends = await this.#exchange(stream, { mine: accounts.opener, theirs: accounts.answerer });
    await stream.closed;
    if (ends.every(({ status }) => status === "fulfilled")) this.complete++;
    // Either the channel is offered again, or it is gone.
    if (!channel.closed) await this.#idle.promise;
    if (this.#chance(10)) { for (const each of this.#both) each.ping(performance.now()); }
  }

  async end(): Promise<void> {
    for (const channel of this.#both) channel.close();
    await Promise.all(this.#answering);
  }

  async #channel(): Promise<DataChannel> {
    const [opening] = this.#both;
    if (opening !== undefined && !opening.closed) return opening;
    await Promise.all(this.#answering);
    for (const channel of this.#both) channel.close();
    const [client, server] = await this.#transports();
    this.channels++;
    const onClosed = (_: DataChannel, violation?: ProtocolError): void => {
      if (violation !== undefined) this.faults.push(violation.message);
    };
    const onStream = (stream: ChannelStream, { revision }: { revision: number }): Promise<void> => {
      const answer = this.#answer(stream, revision);
      const settled = answer.catch(() => undefined).then(() => void this.#answering.delete(settled));
      this.#answering.add(settled);
      return answer;
    };
    this.#both = [
      new DataChannel(server, {
        client: false,
        opener: true,
        secure: false,
        onClosed: (channel, violation) => {
          onClosed(channel, violation);
          this.#idle.resolve();
        },
        onIdle: () => this.#idle.resolve(),
      }),
      new DataChannel(client, { client: true, opener: false, secure: false, onClosed, onStream }),
    ];
    return this.#both[0]!;
  }

  async #answer(stream: ChannelStream, revision: number): Promise<void> {
    if (this.#chance(8)) await this.#pause();
    if (this.#chance(8)) return await stream.refuse(new CodedError("TARGET_REFUSED"));
    if (this.#chance(20)) throw new CodedError("TARGET_TIMEOUT");
    const { opener, answerer } = this.#accounts.get(revision)!;
    await stream.accept();
    await this.#exchange(stream, { mine: answerer, theirs: opener });
    await stream.closed;
  }

  /** Sends, receives, and perhaps resets in between. */
  #exchange(
    stream: ChannelStream,
    { mine, theirs }: { mine: Account; theirs: Account },
  ): Promise<PromiseSettledResult<void>[]> {
    const work = [this.#send(stream, mine), this.#receive(stream, theirs)];
    if (this.#chance(5)) work.push(this.#pause().then(() => stream.reset()));
    // As a pipe does: when one direction fails, so does the other.
    for (const each of work) each.catch((error) => stream.reset(error));
    return Promise.allSettled(work);
  }

  async #send(stream: ChannelStream, account: Account): Promise<void> {
    for (let left = this.#number(6); left > 0; left--) {
      const bytes = new Uint8Array(1 + this.#number(this.#chance(6) ? 400_000 : 3_000)).fill(account.sent & 0xff);
      await stream.write(bytes);
      account.sent += bytes.length;
      if (this.#chance(6)) await this.#pause();
    }
    account.ended = true;
    await stream.closeWrite();
  }

  async #receive(stream: ChannelStream, sender: Account): Promise<void> {
    let received = 0;
    for (let bytes = await stream.read(); bytes !== null; bytes = await stream.read()) {
      received += bytes.length;
      if (this.#chance(12)) await this.#pause();
    }
    // A clean end comes after every byte, or not at all.
    if (!sender.ended || received !== sender.sent) {
      this.faults.push(`a clean end after ${received} bytes; ${sender.sent} were sent, ended: ${sender.ended}`);
    }
  }

  async #pause(): Promise<void> {
    for (let turns = this.#number(4); turns >= 0; turns--) await new Promise((resolve) => setTimeout(resolve, 0));
  }

  /** True once in so many times. */
  #chance(times: number): boolean {
    return this.#number(times) === 0;
  }

  #number(below: number): number {
    this.#random = (Math.imul(this.#random, 1_103_515_245) + 12_345) & 0x7fffffff;
    return (this.#random >> 8) % below;
  }
}

for (const [name, transports] of [["node:net", tcpPair], ["Deno.Conn", connPair], ["TLS", startTlsPair]] as const) {
  Deno.test(`two honest ends never violate the protocol nor invent an end, whatever their streams do (${name})`, async () => {
    const pair = new Pair(transports, 42);
    for (let revision = 0; revision < STREAMS; revision++) await pair.run(revision);
    await pair.end();
    assert.deepEqual(pair.faults, []);
    assert.ok(pair.complete > STREAMS / 5, `${pair.complete} complete`);
    assert.ok(pair.channels > STREAMS / 20 && pair.channels < STREAMS, `${pair.channels} channels`);
  });
}
