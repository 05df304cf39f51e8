import assert from "node:assert/strict";
import { CodedError } from "../../protocol/errors.ts";
import { MAX_SERVICE_NAMES } from "./service_names.ts";
import { assertFails, DAY_MS, MINUTE_MS, setUpState, type StateSetup } from "./testing/state_setup.ts";

const ALICE = { owner: "alice" };
const BOB = { owner: "bob" };
/** One-shots of theirs. */
const ALICE_ONCE = { owner: "alice", parent: "id" };
const BOB_ONCE = { owner: "bob", parent: "id" };

/** The minute's housekeeping of a server where these names are offered. */
async function tidy({ state }: StateSetup, ...offered: string[]): Promise<void> {
  await state.serviceNames.note(offered);
  await state.sweep();
}

Deno.test("a service name stays with its owner while nobody offers it, and in every process (R12)", async () => {
  await using setup = await setUpState();
  const { serviceNames } = setup.state;
  await serviceNames.claim("redis", ALICE);
  setup.clock.now += 29 * DAY_MS;
  await tidy(setup);
  const restarted = await setup.another();
  for (const each of [serviceNames, restarted.serviceNames]) {
    assert.throws(() => each.check("bob", "redis"), { kind: "SERVICE_TAKEN" });
    await assertFails(each.claim("redis", BOB), "SERVICE_TAKEN");
    await assertFails(each.claim("redis", BOB_ONCE), "SERVICE_TAKEN");
    each.check("alice", "redis");
    assert.deepEqual([each.isOf("alice", "redis"), each.isOf("bob", "redis")], [true, false]);
  }
  await restarted.serviceNames.claim("redis", ALICE);
});

Deno.test("whoever is refused a service name is not told whose it is", async () => {
  await using setup = await setUpState();
  const { serviceNames } = setup.state;
  await serviceNames.claim("redis", ALICE);
  await assert.rejects(serviceNames.claim("redis", BOB), (error) => {
    assert.ok(error instanceof CodedError);
    assert.deepEqual([error.code, error.message.includes("alice")], ["E4023", false]);
    return true;
  });
});

for (const swept of [false, true]) {
  Deno.test(`a service name is free 30 days after it was last offered, ${swept ? "swept" : "not swept yet"}`, async () => {
    await using setup = await setUpState();
    const { serviceNames } = setup.state;
    await serviceNames.claim("redis", ALICE);
    setup.clock.now += 30 * DAY_MS - 1;
    await assertFails(serviceNames.claim("redis", BOB), "SERVICE_TAKEN");
    setup.clock.now += 1;
    if (swept) await setup.state.sweep();
    assert.equal((await setup.store.get("services.redis")) === null, swept);
    assert.deepEqual(serviceNames.list(), []);
    serviceNames.check("bob", "redis");
    await serviceNames.claim("redis", BOB);
    await assertFails(serviceNames.claim("redis", ALICE), "SERVICE_TAKEN");
  });
}

Deno.test("what is offered all the time is kept, and written at most once a day", async () => {
  await using setup = await setUpState();
  const { serviceNames } = setup.state;
  await serviceNames.claim("redis", ALICE);
  const revision = async () => (await setup.store.get("services.redis"))!.revision;
  const first = await revision();
  setup.clock.now += DAY_MS - 1;
  await serviceNames.claim("redis", ALICE);
  await tidy(setup, "redis", "nobodys");
  assert.equal(await revision(), first);
  for (let day = 0; day < 40; day++) {
    setup.clock.now += DAY_MS;
    await tidy(setup, "redis");
  }
  const [redis, ...others] = serviceNames.list();
  assert.deepEqual(redis, {
    ...{ name: "redis", owner: "alice" },
    ...{ offeredAt: setup.clock.now, keptUntil: setup.clock.now + 30 * DAY_MS },
  });
  assert.deepEqual(others, []);
});

Deno.test("of owners who ask for a free service name at once exactly one has it, also when it was another's", async () => {
  await using setup = await setUpState();
  const processes = [setup.state, await setup.another(), await setup.another()];
  const claimAll = async () => {
    const owners = Array.from({ length: 12 }, (_, index) => `owner-${index}`);
    const settled = await Promise.allSettled(
      owners.map((owner, index) => processes[index % processes.length]!.serviceNames.claim("redis", { owner })),
    );
    const won = owners.filter((_, index) => settled[index]?.status === "fulfilled");
    assert.deepEqual(setup.state.serviceNames.list().map(({ owner }) => owner), won);
    assert.equal(won.length, 1);
  };
  await claimAll();
  setup.clock.now += 30 * DAY_MS;
  await claimAll();
});

Deno.test("a one-shot's own service name is free 5 minutes after it was last offered", async () => {
  await using setup = await setUpState();
  const { serviceNames } = setup.state;
  await serviceNames.claim("redis", ALICE_ONCE);
  for (let minute = 0; minute < 10; minute++) {
    setup.clock.now += MINUTE_MS;
    await tidy(setup, "redis");
  }
  setup.clock.now += 5 * MINUTE_MS - 1;
  await assertFails(serviceNames.claim("redis", BOB), "SERVICE_TAKEN");
  setup.clock.now += 1;
  await serviceNames.claim("redis", BOB_ONCE);
});

Deno.test("a one-shot uses a lasting service name of its owner as it is, and another tunnel makes that of a one-shot lasting", async () => {
  await using setup = await setUpState();
  const { serviceNames } = setup.state;
  await serviceNames.claim("redis", ALICE);
  await serviceNames.claim("redis", ALICE_ONCE);
  await serviceNames.claim("wiki", ALICE_ONCE);
  await serviceNames.claim("wiki", ALICE);
  setup.clock.now += 29 * DAY_MS;
  await tidy(setup);
  for (const name of ["redis", "wiki"]) await assertFails(serviceNames.claim(name, BOB), "SERVICE_TAKEN");
});

Deno.test("release() makes a service name free at once, and every process tells who has lost it", async () => {
  await using setup = await setUpState();
  const other = await setup.another();
  const lost: string[] = [];
  using _watch = setup.state.serviceNames.watchLost((name, owner) => lost.push(`${name} of ${owner}`));
  await setup.state.serviceNames.claim("redis", ALICE);
  assert.deepEqual(lost, []);
  assert.equal(await other.serviceNames.release("redis"), "alice");
  assert.equal(await other.serviceNames.release("redis"), undefined);
  assert.deepEqual(lost, ["redis of alice"]);
  await other.serviceNames.claim("redis", BOB);
  assert.equal(setup.state.serviceNames.isOf("bob", "redis"), true);
  assert.deepEqual(lost, ["redis of alice"]);
});

Deno.test("an owner has at most 1,000 service names, also when all are asked for at once", async () => {
  await using setup = await setUpState();
  const { serviceNames } = setup.state;
  const names = Array.from({ length: MAX_SERVICE_NAMES + 5 }, (_, index) => `s${index}`);
  const settled = await Promise.allSettled(names.map((name) => serviceNames.claim(name, ALICE)));
  assert.equal(settled.filter(({ status }) => status === "fulfilled").length, MAX_SERVICE_NAMES);
  assert.equal(serviceNames.list().length, MAX_SERVICE_NAMES);
  await assertFails(serviceNames.claim("one-more", ALICE), "QUOTA_EXCEEDED");
  await serviceNames.claim(serviceNames.list()[0]!.name, ALICE);
  await serviceNames.claim("one-more", BOB);
  await serviceNames.release(serviceNames.list().find(({ owner }) => owner === "alice")!.name);
  await serviceNames.claim("two-more", ALICE);
});
