import assert from "node:assert/strict";
import { DAY_MS, MINUTE_MS, setUpState, type StateSetup } from "./testing/state_setup.ts";
import type { Tunnel } from "./tunnels.ts";

const NAME = "blog.example.test";
const ALONE = { below: false };

/** A tunnel that owns {@link NAME}, and has sealed it. */
async function sealed({ state, tunnel }: StateSetup): Promise<Tunnel> {
  const { tunnel: owner } = await tunnel();
  await state.names.claim(owner, NAME);
  await state.sealedNames.seal(owner, NAME, ALONE);
  return owner;
}

Deno.test("a name stays sealed, in every process, until it is unsealed", async () => {
  await using setup = await setUpState();
  const { sealedNames } = setup.state;
  assert.equal(sealedNames.has(NAME), false);
  const owner = await sealed(setup);
  setup.clock.now += 400 * DAY_MS;
  await setup.state.sweep();
  const restarted = await setup.another();
  for (const each of [sealedNames, restarted.sealedNames]) {
    assert.deepEqual([each.has(NAME), each.has(`a.${NAME}`), each.has("example.test")], [true, false, false]);
  }
  await restarted.sealedNames.keepOnly(owner.id, new Set([NAME]));
  assert.equal(restarted.sealedNames.has(NAME), true);
  await restarted.sealedNames.keepOnly(owner.id, new Set(["other.example.test"]));
  assert.equal(restarted.sealedNames.has(NAME), false);
  assert.deepEqual(await setup.store.list("sealed_names."), []);
});

Deno.test("an assigned name is sealed with all that is below it", async () => {
  await using setup = await setUpState();
  const { sealedNames } = setup.state;
  const { tunnel } = await setup.tunnel();
  await sealedNames.seal(tunnel, tunnel.hostname, { below: true });
  assert.deepEqual([tunnel.hostname, `a.b.${tunnel.hostname}`].map((name) => sealedNames.has(name)), [true, true]);
  await sealedNames.unseal(tunnel, tunnel.hostname);
  assert.equal(sealedNames.has(`a.b.${tunnel.hostname}`), false);
});

Deno.test("what was sealed counts no more when the name is somebody else's, or nobody's", async () => {
  await using setup = await setUpState();
  const { names, sealedNames } = setup.state;
  const owner = await sealed(setup);
  await names.release(owner, NAME);
  assert.equal(sealedNames.has(NAME), false);
  setup.clock.now += 31 * DAY_MS;
  const { tunnel: other } = await setup.tunnel();
  await names.claim(other, NAME);
  assert.equal(sealedNames.has(NAME), false);
  await setup.state.sweep();
  assert.equal(await setup.store.get(`sealed_names.${NAME}`), null);
  await sealedNames.seal(other, NAME, ALONE);
  assert.equal(sealedNames.has(NAME), true);
});

Deno.test("what a one-shot sealed counts for the name of its parent, and is forgotten with the one-shot", async () => {
  await using setup = await setUpState();
  const { names, sealedNames, tunnels } = setup.state;
  const { tunnel: parent } = await setup.tunnel();
  await names.claim(parent, NAME);
  const { tunnel: child } = await tunnels.createTemporary(parent);
  await sealedNames.seal(child, NAME, ALONE);
  assert.equal(sealedNames.has(NAME), true);
  setup.clock.now += 10 * MINUTE_MS;
  await setup.state.sweep();
  assert.equal(sealedNames.has(NAME), false);
  // What the parent has sealed stays so, whatever a one-shot says of it too.
  await sealedNames.seal(parent, NAME, ALONE);
  const { tunnel: second } = await tunnels.createTemporary(parent);
  await sealedNames.seal(second, NAME, ALONE);
  await sealedNames.keepOnly(second.id, new Set());
  await sealedNames.unseal(second, NAME);
  assert.equal(sealedNames.has(NAME), true);
  await sealedNames.unseal(parent, NAME);
  assert.equal(sealedNames.has(NAME), false);
});

Deno.test("nobody unseals what another owner has sealed, and what is sealed while it is unsealed stays sealed", async () => {
  await using setup = await setUpState();
  const { sealedNames } = setup.state;
  const owner = await sealed(setup);
  const { tunnel: stranger } = await setup.tunnel();
  await sealedNames.unseal(stranger, NAME);
  assert.equal(sealedNames.has(NAME), true);
  await Promise.all([sealedNames.unseal(owner, NAME), sealedNames.seal(owner, NAME, ALONE)]);
  assert.equal(sealedNames.has(NAME), true);
});
