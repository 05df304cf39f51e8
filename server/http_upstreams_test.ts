import assert from "node:assert/strict";
import { DataChannel } from "../net/data_channel.ts";
import { memoryPair } from "../net/memory_duplex.ts";
import type { HttpRule } from "../protocol/rule.ts";
import type { StreamOpen } from "../protocol/stream_message.ts";
import type { AcquireOptions, UpstreamStream } from "../net/http/proxy/http_context.ts";
import { FakeVisitor } from "../net/http/proxy/testing/fake_visitor.ts";
import { HttpUpstreams } from "./http_upstreams.ts";
import { PublishedRule } from "./published_rule.ts";

const RULE: HttpRule = { kind: "http", domain: "a.example", target: "127.0.0.1:80", firewall: [] };

/** The keep-alive connections of one rule, to a target that sends back what it gets until it is told to end. */
class Setup implements Disposable {
  readonly rule: PublishedRule;
  readonly upstreams: HttpUpstreams;
  /** Streams that were opened, as the client sees them: each ends when told to. */
  readonly targets: { end: () => void; ended: Promise<void> }[] = [];
  /** For whom they were opened. */
  readonly visitors: StreamOpen["visitor"][] = [];
  draining = false;
  /** Streams wait for it. */
  channel: Promise<void> = Promise.resolve();
  readonly #channels: DataChannel[] = [];

  constructor(rule: HttpRule = RULE) {
    const isDraining = (): boolean => this.draining;
    this.rule = new PublishedRule({
      get draining() {
        return isDraining();
      },
      doubtful: false,
      open: async (message) => {
        await this.channel;
        this.visitors.push(message.visitor);
        return this.#newChannel().open(message);
      },
      tunnel: undefined as never,
    }, rule);
    this.upstreams = this.rule.upstreams = new HttpUpstreams(this.rule);
  }

  acquire(options: Partial<AcquireOptions> = {}): Promise<UpstreamStream> {
    const { fresh = false, address = "192.0.2.1", port = 0, visitor = new FakeVisitor() } = options;
    return Promise.resolve(this.upstreams.acquire({ fresh, address, port, visitor }));
  }

  #newChannel(): DataChannel {
    const [near, far] = memoryPair();
    const end = Promise.withResolvers<void>();
    const ended = Promise.withResolvers<void>();
    const peer = new DataChannel(far, {
      ...{ client: true, opener: false, secure: true },
      async onStream(stream) {
        await stream.accept();
        const closing = end.promise.then(() => stream.closeWrite());
        try {
          for (let bytes = await stream.read(); bytes !== null; bytes = await stream.read()) await stream.write(bytes);
          end.resolve();
        } catch {
          // Reset is an end as well.
        }
        ended.resolve();
        await closing;
      },
    });
    this.targets.push({ end: end.resolve, ended: ended.promise });
    const channel = new DataChannel(near, { client: false, opener: true, secure: true });
    this.#channels.push(channel, peer);
    return channel;
  }

  [Symbol.dispose](): void {
    this.upstreams.closeIdle();
    for (const channel of this.#channels) channel.close();
  }
}

/** One clean exchange. */
async function exchange(upstream: UpstreamStream, byte: number): Promise<void> {
  await upstream.write(new Uint8Array([byte]));
  assert.deepEqual(await upstream.read(), new Uint8Array([byte]));
  upstream.release();
}

Deno.test("a stream for a challenge is not kept: anybody may ask, and nobody comes back", async () => {
  using setup = new Setup();
  const challenges = new HttpUpstreams(setup.rule, "acme");
  const { acquire } = challenges.route();
  for (let count = 0; count < 3; count++) {
    const visitor = new FakeVisitor();
    await exchange(await acquire({ fresh: false, address: "192.0.2.1", port: 0, visitor }), count);
    await setup.targets[count]!.ended;
  }
  assert.equal(challenges.closeOldest(), false);
});

Deno.test("the stream that was used last is lent first", async () => {
  using setup = new Setup();
  const [first, second] = [await setup.acquire(), await setup.acquire()];
  assert.equal(setup.targets.length, 2);
  await exchange(first!, 1);
  await exchange(second!, 2);
  assert.equal(await setup.acquire(), second);
  assert.ok(second!.reused);
  assert.equal(await setup.acquire(), first);
  assert.equal(setup.targets.length, 2);
});

Deno.test("a fresh stream is wanted when the first try failed: no idle one is lent", async () => {
  using setup = new Setup();
  const first = await setup.acquire();
  await exchange(first, 1);
  const fresh = await setup.acquire({ fresh: true });
  assert.notEqual(fresh, first);
  assert.ok(!fresh.reused);
});

Deno.test("a stream whose target closes while it is idle is not lent again", async () => {
  using setup = new Setup();
  const first = await setup.acquire();
  await exchange(first, 1);
  setup.targets[0]!.end();
  await setup.targets[0]!.ended;
  assert.notEqual(await setup.acquire(), first);
});

Deno.test("after an edit of the target no stream to the old one is used again, but a running exchange ends", async () => {
  using setup = new Setup();
  const [idle, running] = [await setup.acquire(), await setup.acquire()];
  await exchange(idle, 1);
  setup.rule.update({ ...RULE, target: "127.0.0.1:81" });
  await setup.targets[0]!.ended;
  await exchange(running, 2);
  await setup.targets[1]!.ended;
  const next = await setup.acquire();
  assert.ok(next !== idle && next !== running);
});

Deno.test("a client that stops gets its idle streams back, and those that become idle", async () => {
  using setup = new Setup();
  const running = await setup.acquire();
  setup.draining = true;
  await exchange(running, 1);
  await setup.targets[0]!.ended;
});

Deno.test("closeOldest() gives the longest idle one back", async () => {
  using setup = new Setup();
  const [first, second] = [await setup.acquire(), await setup.acquire()];
  await exchange(first, 1);
  await exchange(second, 2);
  assert.ok(setup.upstreams.closeOldest());
  await setup.targets[0]!.ended;
  assert.equal(await setup.acquire(), second);
  assert.ok(!setup.upstreams.closeOldest());
});

Deno.test("a visitor whom an edit drops is reset in its exchange, and refused if it still waits for a channel", async () => {
  using setup = new Setup();
  const [dropped, stays] = [
    await setup.acquire({ address: "192.0.2.1" }),
    await setup.acquire({ address: "192.0.2.2" }),
  ];
  const gate = Promise.withResolvers<void>();
  setup.channel = gate.promise;
  const waiting = setup.acquire({ address: "192.0.2.1", fresh: true });
  setup.rule.update({ ...RULE, firewall: [{ action: "drop", network: "192.0.2.1" }] });
  gate.resolve();
  await assert.rejects(waiting, { kind: "FORBIDDEN" });
  await assert.rejects(async () => await dropped.read(), { kind: "FORBIDDEN" });
  await exchange(stays, 1);
});

Deno.test("a stream that comes too late for its visitor is let go", async () => {
  using setup = new Setup();
  const gate = Promise.withResolvers<void>();
  setup.channel = gate.promise;
  const visitor = new FakeVisitor();
  const waiting = setup.acquire({ visitor });
  visitor.leave();
  gate.resolve();
  await assert.rejects(waiting, { kind: "STREAM_RESET" });
  await setup.targets[0]!.ended;
  assert.equal(setup.rule.visits, 0);
});

Deno.test("a stream that broke behind a complete answer is no fault of the exchange", async () => {
  using setup = new Setup();
  const upstream = await setup.acquire();
  await upstream.write(new Uint8Array([1]));
  await upstream.read();
  upstream.reset();
  upstream.release();
  assert.notEqual(await setup.acquire(), upstream);
});

Deno.test("with PROXY protocol a stream is lent to the visitor's connection that it was opened for, and no other", async () => {
  using setup = new Setup({ ...RULE, proxyProtocol: "v2" });
  const [one, other] = [new FakeVisitor(), new FakeVisitor()];
  const first = await setup.acquire({ visitor: one, port: 1 });
  await exchange(first, 1);
  const second = await setup.acquire({ visitor: other, port: 2 });
  assert.notEqual(second, first, "the same address, another connection");
  await exchange(second, 2);
  const proxied = await setup.acquire({ visitor: one, address: "192.0.2.2" });
  assert.ok(proxied !== first && proxied !== second, "the same connection of a trusted proxy, another visitor");
  assert.equal(await setup.acquire({ visitor: one }), first);
  assert.ok(first.reused);
  assert.deepEqual(setup.visitors, [
    { address: "192.0.2.1", port: 1 },
    { address: "192.0.2.1", port: 2 },
    { address: "192.0.2.2", port: 0 },
  ]);
});

Deno.test("with PROXY protocol a stream ends with its visitor's connection, idle or when it becomes so", async () => {
  using setup = new Setup({ ...RULE, proxyProtocol: "v2" });
  const visitor = new FakeVisitor();
  const [idle, running] = [
    await setup.acquire({ visitor }),
    await setup.acquire({ visitor }),
  ];
  await exchange(idle, 1);
  visitor.leave();
  await setup.targets[0]!.ended;
  await exchange(running, 2);
  await setup.targets[1]!.ended;
});

Deno.test("route() has another key and other options after an edit of what they come from", () => {
  using setup = new Setup();
  const before = setup.upstreams.route();
  assert.equal(setup.upstreams.route().key, before.key);
  assert.equal(before.options, undefined);
  setup.rule.update({ ...RULE, options: { maxBodyBytes: 1 } });
  const limited = setup.upstreams.route();
  assert.deepEqual([limited.key === before.key, limited.options?.maxBodyBytes], [true, 1]);
  setup.rule.update({ ...RULE, target: "127.0.0.1:81", options: { maxBodyBytes: 1 } });
  const elsewhere = setup.upstreams.route();
  assert.notEqual(elsewhere.key, before.key);
  assert.equal(elsewhere.options, limited.options);
});
