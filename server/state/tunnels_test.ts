import assert from "node:assert/strict";
import { openSqliteStore } from "../store/sqlite_store.ts";
import { openServerState, type ServerStateOptions } from "./server_state.ts";
import { TEMPORARY_GRACE_MS, type TunnelChange } from "./tunnels.ts";
import { assertFails, MINUTE_MS, setUpState } from "./testing/state_setup.ts";

Deno.test("enrol() makes a tunnel that inherits owner, tags and grants", async () => {
  await using setup = await setUpState();
  const { enrolmentTokens, tunnels } = setup.state;
  const { token } = await enrolmentTokens.create({ owner: "ann", tags: ["db", "db"], grants: { maxPorts: 2 } });
  const issued = await setup.state.enrol(token, { name: "Ann's laptop" });
  assert.equal(issued.tunnel.owner, "ann");
  assert.deepEqual(issued.tunnel.tags, ["db"]);
  assert.equal(issued.tunnel.grants.maxPorts, 2);
  assert.equal(issued.tunnel.name, "Ann's laptop");
  assert.deepEqual(await tunnels.authenticate(issued.token), issued.tunnel);
  assert.deepEqual(tunnels.list(), [issued.tunnel]);
  await assertFails(setup.state.enrol(token), "TOKEN_USED");
});

Deno.test("enrol() with a name that cannot be shown does not use the token up", async () => {
  await using setup = await setUpState();
  const { token } = await setup.state.enrolmentTokens.create();
  for (const name of ["", " x", "a\nb", "\u202eevil", "x".repeat(65)]) {
    await assertFails(setup.state.enrol(token, { name }), "USAGE");
  }
  await setup.state.enrol(token, { name: "Grüße 🚀" });
});

Deno.test("authenticate() refuses wrong secrets, unknown ids, other kinds and removed tunnels", async () => {
  await using setup = await setUpState();
  const { tunnels, enrolmentTokens } = setup.state;
  const first = await setup.tunnel();
  const second = await setup.tunnel();
  const { token: enrolment } = await enrolmentTokens.create();
  const swapped = first.token.slice(0, -43) + second.token.slice(-43);
  for (const wrong of ["", "x", swapped, enrolment, `spk_tunnel_${"0".repeat(32)}_${"a".repeat(43)}`]) {
    await assertFails(tunnels.authenticate(wrong), "TOKEN_INVALID");
  }
  assert.equal(await tunnels.remove(first.tunnel.id), true);
  assert.equal(await tunnels.remove(first.tunnel.id), false);
  await assertFails(tunnels.authenticate(first.token), "TOKEN_INVALID");
  assert.equal((await tunnels.authenticate(second.token)).id, second.tunnel.id);
});

Deno.test("rotateToken() ends the old token once the new one is used", async () => {
  await using setup = await setUpState();
  const { tunnels } = setup.state;
  const { tunnel, token: old } = await setup.tunnel();
  const lost = await tunnels.rotateToken(tunnel.id);
  const next = await tunnels.rotateToken(tunnel.id);
  await tunnels.authenticate(old);
  await assertFails(tunnels.authenticate(lost), "TOKEN_INVALID");
  await Promise.all([tunnels.authenticate(next), tunnels.authenticate(next)]);
  await assertFails(tunnels.authenticate(old), "TOKEN_INVALID");
  await tunnels.authenticate(next);
  await tunnels.remove(tunnel.id);
  await assertFails(tunnels.rotateToken(tunnel.id), "REVOKED");
});

Deno.test("rename() changes the display name only", async () => {
  await using setup = await setUpState();
  const { tunnels } = setup.state;
  const { tunnel, token } = await setup.tunnel();
  assert.deepEqual(await tunnels.rename(tunnel.id, "office"), { ...tunnel, name: "office" });
  assert.equal((await tunnels.authenticate(token)).name, "office");
  await assertFails(tunnels.rename(tunnel.id, ""), "USAGE");
  await tunnels.remove(tunnel.id);
  await assertFails(tunnels.rename(tunnel.id, "x"), "REVOKED");
});

Deno.test("remove() frees names and ports, and a removed enrolment token leaves its tunnels", async () => {
  await using setup = await setUpState();
  const { enrolmentTokens, tunnels, names, ports, sightings } = setup.state;
  const { tunnel, token } = await setup.tunnel();
  const { tunnel: child } = await tunnels.createTemporary(tunnel);
  const { tunnel: other } = await setup.tunnel();
  for (const each of await enrolmentTokens.list()) await enrolmentTokens.remove(each.id);
  await tunnels.authenticate(token);
  await names.claim(tunnel, "blog.example.test");
  await ports.allocate(tunnel, { port: 22_000 });
  await sightings.note(tunnel.id, { from: "192.0.2.1" });
  await tunnels.remove(tunnel.id);
  assert.deepEqual(tunnels.list(), [other]);
  assert.deepEqual([names.listOf(tunnel.id), ports.listOf(tunnel.id), names.listOf(child.id)], [[], [], []]);
  assert.equal(sightings.get(tunnel.id), undefined);
  await assertFails(names.claim(other, "blog.example.test"), "NAME_RESTING");
  await assertFails(names.claim(other, tunnel.hostname), "NAME_RESTING");
});

Deno.test("watch() tells of tunnels that another process makes and removes", async () => {
  const folder = await Deno.makeTempDir();
  {
    const options: ServerStateOptions = {
      domain: "example.test",
      hostname: "example.test",
      ports: { from: 22_000, to: 22_009 },
    };
    await using mine = await openSqliteStore(`${folder}/state.db`);
    await using other = await openSqliteStore(`${folder}/state.db`);
    using server = await openServerState(mine, options);
    using command = await openServerState(other, options);
    const changes: TunnelChange[] = [];
    const made = Promise.withResolvers<void>();
    const removed = Promise.withResolvers<void>();
    using _watch = server.tunnels.watch((change) => {
      changes.push(change);
      (change.kind === "removed" ? removed : made).resolve();
    });
    const { token } = await command.enrolmentTokens.create();
    const { tunnel } = await command.enrol(token);
    await made.promise;
    await command.tunnels.remove(tunnel.id);
    await removed.promise;
    assert.deepEqual(changes, [{ kind: "changed", tunnel }, { kind: "removed", id: tunnel.id }]);
    assert.equal(server.tunnels.get(tunnel.id), undefined);
  }
  await Deno.remove(folder, { recursive: true });
});

Deno.test("a temporary tunnel is removed as soon as the operator has said", async () => {
  await using setup = await setUpState({ temporaryTunnelMs: 1000 });
  const { tunnels } = setup.state;
  const { tunnel: child } = await tunnels.createTemporary((await setup.tunnel()).tunnel);
  setup.clock.now += 999;
  assert.deepEqual(await tunnels.sweepTemporary(setup.clock.now), []);
  setup.clock.now += 1;
  assert.deepEqual(await tunnels.sweepTemporary(setup.clock.now), [child.id]);
});

Deno.test("a temporary tunnel is removed 5 minutes after it was last seen, with what it took", async () => {
  await using setup = await setUpState();
  const { tunnels, names, ports, sightings } = setup.state;
  const { tunnel: parent } = await setup.tunnel();
  const { tunnel: child, token } = await tunnels.createTemporary(parent);
  assert.equal(child.parent, parent.id);
  await names.claim(child, "demo.example.test");
  await ports.allocate(child, { port: 22_000 });
  setup.clock.now += 4 * MINUTE_MS;
  await sightings.note(child.id, { from: "192.0.2.1", ended: true });
  setup.clock.now += TEMPORARY_GRACE_MS - 1;
  assert.deepEqual(await tunnels.sweepTemporary(setup.clock.now), []);
  setup.clock.now += 1;
  assert.deepEqual(await tunnels.sweepTemporary(setup.clock.now, (id) => id === child.id), []);
  assert.deepEqual(await tunnels.sweepTemporary(setup.clock.now), [child.id]);
  await assertFails(tunnels.authenticate(token), "TOKEN_INVALID");
  assert.deepEqual(tunnels.list(), [parent]);
  assert.equal(names.ownerOf("demo.example.test"), undefined);
  await names.claim(parent, "demo.example.test");
  await assertFails(names.claim((await setup.tunnel()).tunnel, "demo.example.test"), "NAME_TAKEN");
});

Deno.test("a tunnel has at most 64 temporary tunnels, of which an ended one makes room", async () => {
  await using setup = await setUpState();
  const { tunnels, sightings } = setup.state;
  const { tunnel: parent } = await setup.tunnel();
  const results = await Promise.allSettled(Array.from({ length: 70 }, () => tunnels.createTemporary(parent)));
  const made = results.flatMap((result) => result.status === "fulfilled" ? [result.value.tunnel] : []);
  assert.equal(made.length, 64);
  assert.equal(tunnels.list().length, 65);
  await assertFails(tunnels.createTemporary(parent), "QUOTA_EXCEEDED");
  await assertFails(tunnels.createTemporary(made[0]!), "USAGE");
  await sightings.note(made[7]!.id, { from: "192.0.2.1", ended: true });
  await tunnels.createTemporary(parent);
  assert.equal(tunnels.get(made[7]!.id), undefined);
});

Deno.test("a temporary tunnel of a removed parent is refused", async () => {
  await using setup = await setUpState();
  const { tunnels } = setup.state;
  const { tunnel: parent } = await setup.tunnel();
  await tunnels.remove(parent.id);
  await assertFails(tunnels.createTemporary(parent), "REVOKED");
  assert.deepEqual(tunnels.list(), []);
});

Deno.test("a stored tunnel that cannot be understood lets nobody in", async () => {
  await using setup = await setUpState();
  const { tunnel, token } = await setup.tunnel();
  await setup.store.put(`tunnels.${tunnel.id}`, { id: tunnel.id });
  await assertFails(setup.state.tunnels.authenticate(token), "STATE_UNAVAILABLE");
  assert.equal(setup.state.tunnels.get(tunnel.id), undefined);
});
