import assert from "node:assert/strict";
import { CodedError } from "../../protocol/errors.ts";
import { PORT_REST_MS } from "./ports.ts";
import { assertFails, setUpState } from "./testing/state_setup.ts";

Deno.test("allocate() gives distinct ports of the server's range until none is left", async () => {
  await using setup = await setUpState();
  const { ports } = setup.state;
  const { tunnel: first } = await setup.tunnel({ maxPorts: 6 });
  const { tunnel: second } = await setup.tunnel({ maxPorts: 6 });
  const given: number[] = [];
  for (let count = 0; count < 5; count++) given.push(await ports.allocate(first), await ports.allocate(second));
  assert.deepEqual(given.toSorted(), Array.from({ length: 10 }, (_, index) => 22_000 + index));
  assert.deepEqual([...ports.listOf(first.id), ...ports.listOf(second.id)].sort(), given.toSorted());
  await assertFails(ports.allocate(first), "PORTS_EXHAUSTED");
});

Deno.test("allocate() never gives one port to two of 10 tunnels that ask at once", async () => {
  await using setup = await setUpState();
  const tunnels = await Promise.all(Array.from({ length: 10 }, () => setup.tunnel()));
  const given = await Promise.all(tunnels.map(({ tunnel }) => setup.state.ports.allocate(tunnel)));
  assert.equal(new Set(given).size, 10);
});

Deno.test("allocate() of a given port checks range, grant and owner", async () => {
  await using setup = await setUpState();
  const { ports } = setup.state;
  const { tunnel: first } = await setup.tunnel();
  const { tunnel: second } = await setup.tunnel({ ports: [{ from: 22_003, to: 22_004 }] });
  assert.equal(await ports.allocate(first, { port: 22_003 }), 22_003);
  assert.equal(await ports.allocate(first, { port: 22_003 }), 22_003);
  await assertFails(ports.allocate(second, { port: 22_003 }), "PORT_TAKEN");
  await assertFails(ports.allocate(second, { port: 22_005 }), "PORT_OUT_OF_RANGE");
  for (const port of [80, 21_999, 22_010, 22_000.5, NaN]) {
    await assertFails(ports.allocate(first, { port }), "PORT_OUT_OF_RANGE");
  }
  assert.equal(await ports.allocate(second), 22_004);
  await assertFails(ports.allocate(second), "PORTS_EXHAUSTED");
});

Deno.test("allocate() holds the quota, shared with temporary tunnels and against concurrency", async () => {
  await using setup = await setUpState();
  const { ports, tunnels } = setup.state;
  const { tunnel } = await setup.tunnel({ maxPorts: 3 });
  const { tunnel: child } = await tunnels.createTemporary(tunnel);
  const results = await Promise.allSettled(
    Array.from({ length: 8 }, (_, index) => ports.allocate(index % 2 === 0 ? tunnel : child)),
  );
  assert.equal(results.filter((result) => result.status === "fulfilled").length, 3);
  await assertFails(ports.allocate(child, { port: 22_000 }).then(() => ports.allocate(tunnel)), "QUOTA_EXCEEDED");
});

Deno.test("allocate() leaves ports alone that another program uses", async () => {
  const used = new Set([22_000, 22_001, 22_002, 22_003, 22_004, 22_005, 22_006, 22_007, 22_008]);
  await using setup = await setUpState({ probe: (port) => Promise.resolve(!used.has(port)) });
  const { ports } = setup.state;
  const { tunnel } = await setup.tunnel();
  await assertFails(ports.allocate(tunnel, { port: 22_000 }), "PORT_IN_USE");
  assert.equal(await ports.allocate(tunnel), 22_009);
  used.add(22_009);
  assert.equal(await ports.allocate(tunnel, { port: 22_009 }), 22_009, "its own listener uses it");
  await assertFails(ports.allocate(tunnel), "PORTS_EXHAUSTED");
});

Deno.test("a released port rests for others, then the longest unused goes first", async () => {
  await using setup = await setUpState({ ports: { from: 22_000, to: 22_001 } });
  const { ports } = setup.state;
  const { tunnel: first } = await setup.tunnel();
  const { tunnel: second } = await setup.tunnel();
  await ports.allocate(first, { port: 22_000 });
  await ports.allocate(first, { port: 22_001 });
  await assertFails(ports.release(second, 22_001), "PORT_TAKEN");
  await ports.release(first, 22_001);
  await assertFails(ports.release(first, 22_001), "PORT_NOT_ALLOCATED");
  await assertFails(ports.release(first, 99_999), "PORT_NOT_ALLOCATED");
  await assertFails(ports.allocate(second), "PORTS_EXHAUSTED");
  await assertFails(ports.allocate(second, { port: 22_001 }), "PORT_TAKEN");
  assert.equal(await ports.allocate(first, { port: 22_001 }), 22_001);
  await ports.release(first, 22_001);
  setup.clock.now += 1;
  await ports.release(first, 22_000);
  setup.clock.now += PORT_REST_MS;
  assert.equal(await ports.allocate(second), 22_001);
});

Deno.test("assertOwner() tells foreign, free and impossible ports apart", async () => {
  await using setup = await setUpState();
  const { ports, tunnels } = setup.state;
  const { tunnel } = await setup.tunnel();
  const { tunnel: other } = await setup.tunnel();
  const { tunnel: child } = await tunnels.createTemporary(tunnel);
  await ports.allocate(tunnel, { port: 22_000 });
  ports.assertOwner(tunnel, 22_000);
  ports.assertOwner(child, 22_000);
  assert.equal(ports.ownerOf(22_000), tunnel.id);
  const cases = [[other, 22_000, "PORT_TAKEN"], [tunnel, 22_001, "PORT_NOT_ALLOCATED"], [
    tunnel,
    80,
    "PORT_OUT_OF_RANGE",
  ]];
  for (const [who, port, kind] of cases as [typeof tunnel, number, string][]) {
    assert.throws(() => ports.assertOwner(who, port), (error) => error instanceof CodedError && error.kind === kind);
  }
});
