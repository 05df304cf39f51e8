import assert from "node:assert/strict";
import { challengeName, GIVE_UP_MS, MAX_REQUESTS_PER_TUNNEL } from "./domains.ts";
import { assertFails, DAY_MS, MINUTE_MS, setUpState } from "./testing/state_setup.ts";

Deno.test("add() gives each tunnel a value of its own, and the same one when it asks again", async () => {
  await using setup = await setUpState();
  const { domains } = setup.state;
  const [{ tunnel: one }, { tunnel: two }] = [await setup.tunnel(), await setup.tunnel()];
  const first = await domains.add(one, "example.org");
  const second = await domains.add(two, "example.org");
  // 24 bytes, as base64url.
  assert.match(first.value, /^spokes-verify=[A-Za-z0-9_-]{32}$/);
  assert.notEqual(first.value, second.value);
  assert.deepEqual(await domains.add(one, "example.org"), first);
  assert.deepEqual(domains.list(one.id), [first]);
  assert.equal(challengeName("example.org"), "_spokes-challenge.example.org");
});

Deno.test("a request is given up after 7 days, and begins anew with the same value when it is added again", async () => {
  await using setup = await setUpState();
  const { domains } = setup.state;
  const { tunnel } = await setup.tunnel();
  const first = await domains.add(tunnel, "example.org");
  setup.clock.now += GIVE_UP_MS - 1;
  assert.equal(domains.isExpired(first), false);
  setup.clock.now += 1;
  assert.equal(domains.isExpired(first), true);
  assert.equal(GIVE_UP_MS, 7 * DAY_MS);
  const again = await domains.add(tunnel, "example.org");
  assert.equal(again.value, first.value);
  assert.equal(domains.isExpired(again), false);
});

Deno.test("a tunnel waits for at most 50 domains, with its temporary tunnels, also when all come at once", async () => {
  await using setup = await setUpState();
  const { domains } = setup.state;
  const { tunnel } = await setup.tunnel();
  const { tunnel: child } = await setup.state.tunnels.createTemporary(tunnel);
  const names = Array.from({ length: MAX_REQUESTS_PER_TUNNEL + 5 }, (_, index) => `d${index}.org`);
  const settled = await Promise.allSettled(
    names.map((name, index) => domains.add(index % 2 === 0 ? tunnel : child, name)),
  );
  assert.equal(settled.filter(({ status }) => status === "fulfilled").length, MAX_REQUESTS_PER_TUNNEL);
  assert.equal(domains.list().length, MAX_REQUESTS_PER_TUNNEL);
  await assertFails(domains.add(tunnel, "one-more.org"), "QUOTA_EXCEEDED");
  const { tunnel: other } = await setup.tunnel();
  await domains.add(other, "one-more.org");
  const [first] = domains.list(tunnel.id);
  await domains.remove(tunnel.id, first!.domain);
  await domains.add(tunnel, "one-more.org");
});

Deno.test("add() refuses a domain whose record could have no name", async () => {
  await using setup = await setUpState();
  const { tunnel } = await setup.tunnel();
  const label = "a".repeat(63);
  const longest = `${label}.${label}.${label}.${"b".repeat(235 - 192)}`;
  assert.equal(challengeName(longest).length, 253);
  await setup.state.domains.add(tunnel, longest);
  await assertFails(setup.state.domains.add(tunnel, `b${longest}`), "NAME_INVALID");
});

Deno.test("sweep() forgets the requests of removed tunnels, and what was given up 30 days ago", async () => {
  await using setup = await setUpState();
  const { domains, tunnels } = setup.state;
  const [{ tunnel: gone }, { tunnel: kept }] = [await setup.tunnel(), await setup.tunnel()];
  await domains.add(gone, "gone.org");
  const request = await domains.add(kept, "kept.org");
  await tunnels.remove(gone.id);
  setup.clock.now += 6 * MINUTE_MS;
  await setup.state.sweep();
  assert.deepEqual(domains.list(), [request]);
  assert.equal(await domains.stands(request), true);
  setup.clock.now += GIVE_UP_MS + 30 * DAY_MS;
  await setup.state.sweep();
  assert.deepEqual(domains.list(), []);
  assert.equal(await domains.stands(request), false);
});
