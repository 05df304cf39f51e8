import assert from "node:assert/strict";
import { CodedError } from "../protocol/errors.ts";
import { setUpSessions } from "./testing/session_setup.ts";

Deno.test("join() leaves one serving session, whoever comes at once", async () => {
  await using setup = await setUpSessions({ takeoverPingMs: 3_600_000 });
  const tunnel = await setup.enrolled();
  const peers = Array.from({ length: 5 }, () => setup.dial(tunnel));
  const joined = await Promise.allSettled(peers.map((peer) => peer.join({ instance: "same" })));
  assert.equal(joined.filter(({ status }) => status === "fulfilled").length, 5, "each in its turn");
  assert.equal(setup.sessions.all.length, 1);
  assert.equal(setup.ended.length, 4);
  assert.equal(setup.sessions.serving(tunnel.id), setup.sessions.all[0]);
});

Deno.test("join() refuses another instance while the holder answers, without hurting it", async () => {
  await using setup = await setUpSessions({ takeoverPingMs: 3_600_000 });
  const tunnel = await setup.enrolled();
  const holder = setup.dial(tunnel);
  await holder.join({ instance: "one", host: "raspberry" });
  const listening = holder.control.receive().catch(() => null);
  const newcomer = setup.dial(tunnel);
  await assert.rejects(newcomer.join({ instance: "two" }), /already running on raspberry since \d{4}-/);
  assert.equal(setup.ended.length, 0);
  holder.transport.reset();
  await listening;
});

Deno.test("join() replaces a holder that lost its control channel, without asking it", async () => {
  await using setup = await setUpSessions({ takeoverPingMs: 3_600_000 });
  const tunnel = await setup.enrolled();
  const holder = setup.dial(tunnel);
  await holder.join({ instance: "one" });
  holder.transport.reset();
  await holder.served;
  assert.equal(setup.sessions.all.length, 1, "it may come back");
  await setup.dial(tunnel).join({ instance: "two" });
  assert.deepEqual(setup.ended.map(([, error]) => error.kind), ["TAKEN_OVER"]);
});

Deno.test("a client is doubted when its control channel is lost, or silent for longer than between two pings", async () => {
  await using setup = await setUpSessions();
  const tunnel = await setup.enrolled();
  const peer = setup.dial(tunnel);
  await peer.join();
  const session = setup.sessions.serving(tunnel.id)!;
  assert.equal(session.doubtful, false);
  session.control!.heardAt -= 2 * session.heartbeatMs;
  assert.equal(session.doubtful, true);
  session.control!.heardAt = performance.now();
  assert.equal(session.doubtful, false);
  peer.transport.reset();
  await peer.served;
  assert.equal(session.doubtful, true);
});

Deno.test("a session without its control channel ends when its time is over, and not if it comes back before", async () => {
  await using setup = await setUpSessions({ resumeMs: 200 });
  const tunnel = await setup.enrolled();
  const first = setup.dial(tunnel);
  const { session, secret } = await first.join();
  first.transport.reset();
  await first.served;
  const second = setup.dial(tunnel);
  await second.join({ resume: { session, secret } });
  second.transport.reset();
  await second.served;
  for (let look = 0; setup.ended.length === 0; look++) {
    assert.ok(look < 2_000, "it never ended");
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  assert.equal(setup.ended[0]?.[1].message, "The client did not come back in time");
  assert.deepEqual(setup.sessions.all, []);
});

Deno.test("authenticate() takes the secret of a live session and nothing else", async () => {
  await using setup = await setUpSessions();
  const { session: id, secret } = await setup.dial(await setup.enrolled()).join();
  const other = await setup.dial(await setup.enrolled()).join();
  assert.equal(setup.sessions.authenticate(`${id}.${secret}`).id, id);
  const cases: [credential: string, kind: string][] = [
    [`${id}.${other.secret}`, "TOKEN_INVALID"],
    [`${id}.${secret} `, "TOKEN_INVALID"],
    [`${id}.${secret}x`, "TOKEN_INVALID"],
    [`${id}.${secret.slice(0, -1)}`, "TOKEN_INVALID"],
    [`${id}.`, "TOKEN_INVALID"],
    [id, "SESSION_UNKNOWN"],
    ["", "SESSION_UNKNOWN"],
    [".", "SESSION_UNKNOWN"],
    [secret, "SESSION_UNKNOWN"],
  ];
  for (const [credential, kind] of cases) {
    assert.throws(() => setup.sessions.authenticate(credential), { kind }, credential);
  }
  await setup.sessions.all[0]!.end(new CodedError("SESSION_CLOSED"));
  assert.throws(() => setup.sessions.authenticate(`${id}.${secret}`), { kind: "SESSION_UNKNOWN" });
});

Deno.test("endTunnel() ends every session of a tunnel and of its one-shots, and of no other", async () => {
  await using setup = await setUpSessions();
  const [tunnel, other] = [await setup.enrolled(), await setup.enrolled()];
  const { tunnel: child } = await setup.state.tunnels.createTemporary(tunnel);
  await setup.dial(tunnel).join();
  await setup.dial(tunnel).join({ role: "use" });
  await setup.dial(child).join();
  await setup.dial(other).join();
  await setup.sessions.endTunnel(tunnel.id, new CodedError("REVOKED"));
  assert.deepEqual(setup.sessions.all.map((session) => session.tunnel.id), [other.id]);
  assert.ok(!setup.sessions.isLive(tunnel.id) && !setup.sessions.isLive(child.id) && setup.sessions.isLive(other.id));
});

Deno.test("clients of a large fleet are told to ping a third as often, and judged by it", async () => {
  await using setup = await setUpSessions({ heartbeatMs: 5_000, largeFleet: 1 });
  const [first, second] = [setup.dial(await setup.enrolled()), setup.dial(await setup.enrolled())];
  assert.equal((await first.join()).heartbeatMs, 5_000);
  assert.equal((await second.join()).heartbeatMs, 15_000);
  setup.sessions.sweep(performance.now() + 16_000);
  await first.served;
  assert.deepEqual(setup.sessions.all.map(({ control }) => control !== null), [false, true]);
});

Deno.test("sweep() cuts a control channel after three silent heart beats, and the session waits for another", async () => {
  await using setup = await setUpSessions({ heartbeatMs: 5_000 });
  const peer = setup.dial(await setup.enrolled());
  await peer.join();
  const now = performance.now();
  setup.sessions.sweep(now + 14_000);
  assert.notEqual(setup.sessions.all[0]?.control, null);
  setup.sessions.sweep(now + 16_000);
  await peer.served;
  assert.equal(setup.sessions.all[0]?.control, null);
});
