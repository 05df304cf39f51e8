import assert from "node:assert/strict";
import { MAX_OPEN_REQUESTS } from "../protocol/limits.ts";
import { attachChannel, HELLO, setUpSessions } from "./testing/session_setup.ts";

Deno.test("a client that joined is welcomed with what it needs, and counts as a session from then on", async () => {
  await using setup = await setUpSessions({ heartbeatMs: 1234 });
  const tunnel = await setup.enrolled();
  const peer = setup.dial(tunnel);
  assert.ok(peer.admitted);
  const welcome = await peer.join();
  assert.ok(!peer.admitted);
  const [session] = setup.sessions.all;
  assert.deepEqual([welcome.session, welcome.secret, welcome.resumed], [session?.id, session?.secret, false]);
  assert.deepEqual(welcome.tunnel, { id: tunnel.id, name: tunnel.name, hostname: tunnel.hostname });
  assert.equal(welcome.heartbeatMs, 1234);
});

Deno.test("a client that never says hello gives its place up when it leaves, and belongs to no session", async () => {
  await using setup = await setUpSessions();
  const peer = setup.dial(await setup.enrolled());
  peer.transport.reset();
  await peer.served;
  assert.deepEqual(setup.sessions.all, []);
  assert.deepEqual(setup.ended, []);
});

Deno.test("the welcome comes before anything else, also when a stream waits for a channel of a resumed session", async () => {
  await using setup = await setUpSessions({ channelWaitMs: 3_600_000 });
  const tunnel = await setup.enrolled();
  const first = setup.dial(tunnel);
  const { session: id, secret } = await first.join();
  const session = setup.sessions.all[0]!;
  first.transport.reset();
  await first.served;
  const visitor = { address: "192.0.2.1", port: 1 };
  const waiting = session.open({ rule: "tcp/1", revision: 1, protocol: "tcp", visitor });
  const second = setup.dial(tunnel);
  assert.equal((await second.join({ resume: { session: id, secret } })).resumed, true);
  const { count } = await second.next("pool");
  assert.ok(count >= 1, "what was asked for while nobody heard is asked for again");
  attachChannel(session, async (stream) => {
    await stream.accept();
    await stream.closeWrite();
    while (await stream.read() !== null);
  });
  const stream = await waiting;
  assert.equal(await stream.read(), null);
  await stream.closeWrite();
});

Deno.test("a client that asks and does not read is a violation after as many requests as may be open", async () => {
  await using setup = await setUpSessions();
  // Room for the welcome and a few answers; after that the server cannot write.
  const peer = setup.dial(await setup.enrolled(), { highWaterMark: 2048 });
  await peer.join();
  const asking = (async () => {
    for (let id = 1; id <= 10 * MAX_OPEN_REQUESTS; id++) {
      await peer.control.send({ kind: "request", id, method: "tunnel.info", params: {} });
      // Each is answered before the next one comes, as far as that depends on the server.
      await new Promise((resolve) => setTimeout(resolve));
    }
  })().catch(() => undefined);
  for (let look = 0; setup.ended.length === 0; look++) {
    assert.ok(look < 2_000, "the server takes requests without end");
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  assert.equal(setup.ended[0]?.[1].kind, "PROTOCOL_VIOLATION");
  peer.transport.reset();
  await asking;
});

Deno.test("a tunnel that is removed while its client says hello gets no session", async () => {
  await using setup = await setUpSessions();
  const tunnel = await setup.enrolled();
  const peer = setup.dial(tunnel);
  await setup.state.tunnels.remove(tunnel.id);
  await peer.control.send(HELLO);
  const bye = await peer.next("bye");
  assert.deepEqual([bye.code, bye.final], ["E3008", true]);
  assert.deepEqual(setup.sessions.all, []);
  assert.equal(setup.sessions.serving(tunnel.id), undefined);
});

Deno.test("a client that says that it stops gets no new streams, and keeps those that run", async () => {
  await using setup = await setUpSessions();
  const peer = setup.dial(await setup.enrolled());
  await peer.join();
  const session = setup.sessions.all[0]!;
  const open = { rule: "tcp/1", revision: 1, protocol: "tcp", visitor: { address: "192.0.2.1", port: 1 } } as const;
  for (let count = 0; count < 2; count++) {
    attachChannel(session, async (stream) => {
      await stream.accept();
      for (let bytes = await stream.read(); bytes !== null; bytes = await stream.read()) await stream.write(bytes);
      await stream.closeWrite();
    });
  }
  const running = await session.open(open);
  await peer.control.send({ kind: "drain", graceMs: 1000 });
  await peer.control.send({ kind: "request", id: 1, method: "tunnel.info", params: {} });
  await peer.next("response");
  await assert.rejects(session.open(open), { kind: "TUNNEL_OFFLINE" });
  await running.write(new Uint8Array([1, 2, 3]));
  assert.deepEqual(await running.read(), new Uint8Array([1, 2, 3]));
  await running.closeWrite();
  assert.equal(await running.read(), null);
});
