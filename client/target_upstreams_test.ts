import assert from "node:assert/strict";
import type { Duplex } from "../net/duplex.ts";
import type { UpstreamStream } from "../net/http/proxy/http_context.ts";
import { FakeVisitor } from "../net/http/proxy/testing/fake_visitor.ts";
import { memoryPair } from "../net/memory_duplex.ts";
import { CodedError } from "../protocol/errors.ts";
import { TargetUpstreams, type TargetUpstreamsOptions } from "./target_upstreams.ts";

const HELLO = new Uint8Array([1, 2, 3]);
const HOW = { fresh: false, address: "203.0.113.9", port: 1, visitor: new FakeVisitor() };

interface Setup extends Disposable {
  readonly upstreams: TargetUpstreams;
  /** The target's ends of all connections. */
  readonly targets: Duplex[];
  acquire(options?: Partial<typeof HOW>): Promise<UpstreamStream>;
}

function setUp(options: Partial<TargetUpstreamsOptions> = {}): Setup {
  const targets: Duplex[] = [];
  const upstreams = new TargetUpstreams({
    shared: true,
    dial() {
      const [near, far] = memoryPair();
      targets.push(far);
      return Promise.resolve(near);
    },
    ...options,
  });
  return {
    ...{ upstreams, targets },
    acquire: async (more) => await upstreams.acquire({ ...HOW, ...more }),
    [Symbol.dispose]() {
      upstreams.close();
      for (const target of targets) target.reset();
    },
  };
}

/** What the work that is under way leads to. */
async function settled(): Promise<void> {
  for (let turn = 0; turn < 20; turn++) await Promise.resolve();
}

Deno.test("a connection that was given back is lent again, the last one first, with what it read meanwhile", async () => {
  using setup = setUp();
  const [first, second] = [await setup.acquire(), await setup.acquire()];
  assert.equal(first.reused, false);
  first.release();
  second.release();
  const again = await setup.acquire();
  assert.equal(again, second);
  assert.equal(again.reused, true);
  await again.write(HELLO);
  assert.deepEqual(await setup.targets[1]?.read(), HELLO);
  await setup.targets[1]?.write(HELLO);
  assert.deepEqual(await again.read(), HELLO);
  assert.deepEqual([again.sent, again.finWritten, setup.targets.length], [3, undefined, 2]);
});

Deno.test("a connection that its target closes is not lent again", async () => {
  using setup = setUp();
  (await setup.acquire()).release();
  await setup.targets[0]?.closeWrite();
  await settled();
  assert.equal(setup.upstreams.idle, 0);
  // We have ended our direction as well.
  assert.equal(await setup.targets[0]?.read(), null);
  (await setup.acquire()).release();
  setup.targets[1]?.reset();
  await settled();
  assert.equal(setup.upstreams.idle, 0);
});

Deno.test("a connection on which something came that nobody asked for is not lent again", async () => {
  using setup = setUp();
  (await setup.acquire()).release();
  await setup.targets[0]?.write(HELLO);
  await settled();
  assert.equal(setup.upstreams.idle, 0);
  await assert.rejects(async () => await setup.targets[0]?.read(), { kind: "STREAM_RESET" });
});

Deno.test("a fresh connection is fresh although others are idle", async () => {
  using setup = setUp();
  (await setup.acquire()).release();
  const fresh = await setup.acquire({ fresh: true });
  assert.deepEqual([fresh.reused, setup.targets.length, setup.upstreams.idle], [false, 2, 1]);
});

Deno.test("no more than 64 connections are kept", async () => {
  using setup = setUp();
  const lent = await Promise.all(Array.from({ length: 70 }, () => setup.acquire()));
  for (const each of lent) each.release();
  assert.equal(setup.upstreams.idle, 64);
  assert.equal(await setup.targets[0]?.read(), null);
});

Deno.test("a connection that was made for one visitor serves no other", async () => {
  const visitors: string[] = [];
  using setup = setUp({
    shared: false,
    dial({ address, port }) {
      visitors.push(`${address}:${port}`);
      const [near, far] = memoryPair();
      setup.targets.push(far);
      return Promise.resolve(near);
    },
  });
  const [one, other] = [new FakeVisitor(), new FakeVisitor()];
  const first = await setup.acquire({ visitor: one });
  first.release();
  const second = await setup.acquire({ visitor: other, address: "203.0.113.10", port: 2 });
  assert.deepEqual(visitors, ["203.0.113.9:1", "203.0.113.10:2"]);
  second.release();
  assert.equal(await setup.acquire({ visitor: one }), first);
  first.release();
  assert.equal(setup.upstreams.idle, 2);
  // Nobody can use what is left of a visitor who has gone.
  other.leave();
  assert.equal(setup.upstreams.idle, 1);
  assert.equal(await setup.targets[1]?.read(), null);
  const third = await setup.acquire({ visitor: one });
  one.leave();
  third.release();
  assert.equal(setup.upstreams.idle, 0);
});

Deno.test("closed, it keeps nothing, and ends what comes back", async () => {
  using setup = setUp();
  const lent = await setup.acquire();
  (await setup.acquire()).release();
  setup.upstreams.close();
  assert.equal(setup.upstreams.idle, 0);
  lent.release();
  assert.equal(setup.upstreams.idle, 0);
  for (const target of setup.targets) assert.equal(await target.read(), null);
});

Deno.test("a target that cannot be reached says why; a visitor who has gone needs no connection", async () => {
  const refusal = new CodedError("TARGET_REFUSED");
  const refusing = new TargetUpstreams({ shared: true, dial: () => Promise.reject(refusal) });
  await assert.rejects(async () => await refusing.acquire(HOW), refusal);
  using setup = setUp();
  const visitor = new FakeVisitor();
  visitor.leave();
  await assert.rejects(setup.acquire({ visitor }), { kind: "STREAM_RESET" });
  await assert.rejects(async () => await setup.targets[0]?.read(), { kind: "STREAM_RESET" });
});
