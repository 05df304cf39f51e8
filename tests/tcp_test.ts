import assert from "node:assert/strict";
import { dialTarget } from "../client/dial_target.ts";
import {
  connectTcp,
  echoTarget,
  eventually,
  fill,
  type ReadToEnd,
  sha256,
  SOAK,
  spawn,
  startServer,
  startTunnel,
  type TcpTarget,
  tcpTarget,
  type TestServer,
  type TestTunnel,
  type Wire,
  within,
} from "./harness.ts";

const MEBIBYTE = 1024 * 1024;
/** What may wait between two sides that do not read: kernel buffers of six sockets and 256 KiB in each of our processes. */
const MAX_UNREAD_BYTES = 48 * MEBIBYTE;

/** A tunnel to one TCP target. */
interface Published extends AsyncDisposable {
  readonly server: TestServer;
  readonly tunnel: TestTunnel;
  readonly port: number;
}

async function publish(target: TcpTarget): Promise<Published> {
  await using stack = new AsyncDisposableStack();
  const server = stack.use(await startServer({ limits: { opensPerSecond: 100_000 } }));
  const tunnel = stack.use(await startTunnel(server));
  const port = await tunnel.tcp(target.address);
  const all = stack.move();
  return { server, tunnel, port, [Symbol.asyncDispose]: () => all.disposeAsync() };
}

Deno.test("an end passes as a half-close, in both orders", async () => {
  await using target = await tcpTarget();
  await using published = await publish(target);
  for (const first of ["visitor", "target"] as const) {
    await using visitor = await connectTcp(published.port);
    await visitor.send("hello");
    const inside = await target.accept();
    await inside.readUntil("hello");
    const [one, other] = first === "visitor" ? [visitor, inside] : [inside, visitor];
    await one.send("last words");
    await one.endWrite();
    assert.deepEqual(textAndEnd(await other.readToEnd()), ["last words", "end"]);
    // The other direction goes on for as long as it likes.
    for (let index = 0; index < 3; index++) {
      await other.send(`answer ${index}`);
      assert.equal(await one.readUntil(`answer ${index}`), `answer ${index}`);
    }
    await other.endWrite();
    assert.deepEqual(textAndEnd(await one.readToEnd()), ["", "end"]);
    await Promise.all([one.closed, other.closed]);
  }
});

Deno.test("the first byte may come from the target, and a visitor may say nothing at all", async () => {
  await using target = await tcpTarget(async (wire) => {
    await wire.send("SSH-2.0-test\r\n");
    await wire.next();
  });
  await using published = await publish(target);
  await using visitor = await connectTcp(published.port);
  assert.equal(await visitor.readUntil("\r\n"), "SSH-2.0-test\r\n");
});

Deno.test("a target that speaks first is heard from its first byte", async () => {
  // In a process of its own: it has spoken before we have dealt with its connection.
  const code = "const l = Deno.listen({ hostname: '127.0.0.1', port: 0 }); console.log('port', l.addr.port);" +
    "for await (const c of l) { await c.write(new TextEncoder().encode('220 ready;')); c.read(new Uint8Array(9)).catch(() => {}).then(() => c.close()); }";
  await using target = spawn(Deno.execPath(), ["eval", "--no-lock", code]);
  const [, port] = await target.printed(/port (\d+)\n/);
  await using server = await startServer();
  await using tunnel = await startTunnel(server);
  const published = await tunnel.tcp(`127.0.0.1:${port}`);
  // The dial alone is quick enough to meet the bytes at its every step.
  for (let index = 0; index < 100; index++) {
    const dialled = await dialTarget({ kind: "tcp", host: "127.0.0.1", port: Number(port) });
    const bytes = await within(Promise.resolve(dialled.read()), "the first bytes", 5_000).finally(() =>
      dialled.reset()
    );
    assert.equal(new TextDecoder().decode(bytes ?? undefined), "220 ready;");
    await dialled.closed;
  }
  for (let index = 0; index < 20; index++) {
    await using visitor = await connectTcp(published);
    assert.equal(await visitor.readUntil(";"), "220 ready;");
    await visitor.send("bye");
    assert.equal((await visitor.readToEnd()).end, "end");
  }
});

Deno.test("a reset of the target is a reset for the visitor, and the other way round", async () => {
  await using target = await tcpTarget();
  await using published = await publish(target);
  for (const first of ["visitor", "target"] as const) {
    await using visitor = await connectTcp(published.port);
    await visitor.send("hello");
    const inside = await target.accept();
    await inside.readUntil("hello");
    const [one, other] = first === "visitor" ? [visitor, inside] : [inside, visitor];
    await one.send("some");
    await other.readUntil("some");
    one.reset();
    assert.deepEqual(textAndEnd(await other.readToEnd()), ["", "reset"]);
  }
  await eventually(async () => await published.server.metric("spokes_streams") === 0, "the streams to end");
});

Deno.test("the end of the client resets its visitors, also one that has ended its own direction", async () => {
  await using target = await tcpTarget();
  await using published = await publish(target);
  await using open = await connectTcp(published.port);
  await using half = await connectTcp(published.port);
  await Promise.all([open.send("open"), half.send("half")]);
  await half.endWrite();
  const insides = [await target.accept(), await target.accept()];
  await eventually(() => insides.every(({ socket }) => socket.bytesRead === 4), "both to arrive");
  await published.tunnel.tunnel.stop();
  assert.equal((await open.readToEnd()).end, "reset");
  assert.equal((await half.readToEnd()).end, "reset");
  for (const inside of insides) {
    // The target of the half-closed one has seen its end, so only writing tells it of the reset.
    await assert.rejects(async () => {
      for (;;) {
        await inside.send("anybody there?");
        await new Promise((resolve) => setTimeout(resolve, 1));
      }
    });
  }
});

for (const direction of ["up", "down"] as const) {
  Deno.test(`who does not read holds the sender back (${direction}), and nothing is lost`, async () => {
    await using target = await tcpTarget();
    await using published = await publish(target);
    await using visitor = await connectTcp(published.port);
    await visitor.send("x");
    const inside = await target.accept();
    await inside.readExactly(1);
    const [from, to] = direction === "up" ? [visitor, inside] : [inside, visitor];
    const block = fill(MEBIBYTE);
    // Taken in by the test's own end up to its gate (256 KiB), by the kernel behind that.
    let sent = 0;
    for (;;) {
      const sending = from.send(block).then(() => "sent" as const);
      sent += block.length;
      const held = new Promise<"held">((resolve) => setTimeout(resolve, 500, "held"));
      if (await Promise.race([sending, held]) === "held") {
        assert.ok(sent < MAX_UNREAD_BYTES, `${sent} bytes were taken that nobody reads`);
        await Promise.all([sending, from.endWrite(), drain(to, sent, block)]);
        return;
      }
      assert.ok(sent < MAX_UNREAD_BYTES, `${sent} bytes were taken that nobody reads`);
    }
  });
}

async function drain(to: Wire, sent: number, block: Uint8Array): Promise<void> {
  const { bytes, end } = await to.readToEnd();
  assert.deepEqual([bytes.length, end], [sent, "end"]);
  for (let at = 0; at < sent; at += block.length) {
    assert.equal(sha256(bytes.subarray(at, at + block.length)), sha256(block));
  }
}

Deno.test("a stream that is held back does not hold back another one of the same tunnel", async () => {
  await using target = await tcpTarget();
  await using published = await publish(target);
  await using slow = await connectTcp(published.port);
  await slow.send("slow");
  const flood = await target.accept();
  let flooding = true;
  const flooded = (async () => {
    const block = fill(MEBIBYTE);
    for (let sent = 0; flooding && sent < MAX_UNREAD_BYTES; sent += block.length) {
      await flood.send(block).catch(() => flooding = false);
    }
  })();
  for (let index = 0; index < 20; index++) {
    await using quick = await connectTcp(published.port);
    await quick.send("ping");
    const inside = await target.accept();
    await inside.readUntil("ping");
    await inside.send("pong");
    assert.equal(await quick.readUntil("pong"), "pong");
  }
  slow.reset();
  flood.reset();
  await flooded;
});

Deno.test(`${SOAK ? 1_000 : 500} concurrent visitors each get their own bytes`, async () => {
  await using echo = await echoTarget();
  await using published = await publish(echo);
  const { tunnel, server } = published;
  const count = SOAK ? 1_000 : 500;
  for (let round = 0; round < (SOAK ? 5 : 2); round++) {
    const visitors: Wire[] = [];
    // As many as may wait for a channel arrive at once; all of them stay.
    while (visitors.length < count) {
      const arriving = await Promise.all(Array.from({ length: 250 }, () => connectTcp(published.port)));
      await Promise.all(arriving.map((visitor, index) => checkEcho(visitor, `visitor ${visitors.length + index};`)));
      visitors.push(...arriving);
    }
    await Promise.all(visitors.map((visitor, index) => checkEcho(visitor, `visitor ${index} again;`)));
    // All of them at once.
    assert.equal(await server.metric("spokes_streams"), count);
    await Promise.all(visitors.map(async (visitor) => {
      await visitor.endWrite();
      assert.equal((await visitor.readToEnd()).end, "end");
      await visitor[Symbol.asyncDispose]();
    }));
  }
  await eventually(async () => await server.metric("spokes_streams") === 0, "the streams to end");
  assert.equal(tunnel.events.filter(({ kind }) => kind === "disconnected").length, 0);
});

Deno.test(`${SOAK ? 20_000 : 1_000} short connections one after the other use few channels`, async () => {
  await using echo = await echoTarget();
  await using published = await publish(echo);
  const count = SOAK ? 20_000 : 1_000;
  const lanes = Array.from({ length: 4 }, async (_, lane) => {
    for (let index = lane; index < count; index += 4) {
      await using visitor = await connectTcp(published.port);
      await checkEcho(visitor, `${index};`);
      await visitor.endWrite();
      assert.equal((await visitor.readToEnd()).end, "end");
    }
  });
  await within(Promise.all(lanes), "all connections", 120_000);
  assert.ok(await published.server.metric("spokes_data_channels") <= 32, "channels are reused");
});

Deno.test("several streams move bulk data both ways at once", async () => {
  await using echo = await echoTarget();
  await using published = await publish(echo);
  const size = (SOAK ? 64 : 4) * MEBIBYTE;
  await Promise.all([1, 2, 3, 4].map(async (seed) => {
    const bytes = fill(size, seed);
    await using visitor = await connectTcp(published.port);
    const back = visitor.readToEnd();
    await visitor.send(bytes);
    await visitor.endWrite();
    const { bytes: got, end } = await back;
    assert.deepEqual([sha256(got), end], [sha256(bytes), "end"]);
  }));
});

async function checkEcho(visitor: Wire, mine: string): Promise<void> {
  await visitor.send(mine);
  assert.equal(await visitor.readUntil(";"), mine);
}

function textAndEnd({ text, end }: ReadToEnd): [text: string, end: string] {
  return [text, end];
}
