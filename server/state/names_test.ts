import assert from "node:assert/strict";
import { openSqliteStore } from "../store/sqlite_store.ts";
import { NAME_REST_MS, Names } from "./names.ts";
import { DEFAULT_GRANTS } from "./grants.ts";
import { assertFails, DAY_MS, MINUTE_MS, setUpState } from "./testing/state_setup.ts";

Deno.test("claim() owns the label under the domain, so everything below it too", async () => {
  await using setup = await setUpState();
  const { names } = setup.state;
  const { tunnel: blog } = await setup.tunnel();
  const { tunnel: other } = await setup.tunnel();
  await names.claim(blog, "a.b.blog.example.test");
  assert.equal(names.ownerOf("blog.example.test"), blog.id);
  assert.equal(names.ownerOf("x.y.z.blog.example.test"), blog.id);
  assert.equal(names.ownerOf("myblog.example.test"), undefined);
  await names.claim(blog, "blog.example.test");
  await names.claim(blog, "*.blog.example.test");
  await assertFails(names.claim(other, "c.blog.example.test"), "NAME_TAKEN");
  assert.equal(names.mayUse(blog, "c.blog.example.test"), true);
  assert.equal(names.mayUse(other, "c.blog.example.test"), false);
  assert.deepEqual(names.listOf(blog.id), ["blog.example.test", blog.hostname].sort());
});

Deno.test("claim() takes other domains only with a grant, one by one", async () => {
  await using setup = await setUpState();
  const { names } = setup.state;
  const { tunnel: plain } = await setup.tunnel();
  const { tunnel: shop } = await setup.tunnel({ domains: ["shop.org", "*.shop.org"] });
  const { tunnel: rival } = await setup.tunnel({ domains: ["*.shop.org"] });
  await assertFails(names.claim(plain, "shop.org"), "DOMAIN_NOT_VERIFIED");
  await assertFails(names.claim(plain, "example.test.evil.org"), "DOMAIN_NOT_VERIFIED");
  await assertFails(names.claim(plain, "notexample.test"), "DOMAIN_NOT_VERIFIED");
  await names.claim(shop, "shop.org");
  await names.claim(shop, "a.shop.org");
  await assertFails(names.claim(rival, "shop.org"), "DOMAIN_NOT_VERIFIED");
  await assertFails(names.claim(rival, "a.shop.org"), "NAME_TAKEN");
  await assertFails(names.claim(rival, "*.shop.org"), "NAME_NOT_ALLOWED");
  await names.claim(rival, "b.shop.org");
  assert.equal(names.ownerOf("b.shop.org"), rival.id);
  assert.equal(names.ownerOf("x.b.shop.org"), undefined);
});

const REFUSED: readonly [string, "NAME_RESERVED" | "NAME_INVALID"][] = [
  ...["admin", "www", "mail", "autodiscover", "wpad", "localhost", "_acme-challenge", "tunnel"].map((
    label,
  ): [string, "NAME_RESERVED"] => [`${label}.example.test`, "NAME_RESERVED"]),
  ["x.admin.example.test", "NAME_RESERVED"],
  ["*.tunnel.example.test", "NAME_RESERVED"],
  ["example.test", "NAME_RESERVED"],
  ["*.example.test", "NAME_RESERVED"],
  ["_acme-challenge.blog.example.test", "NAME_RESERVED"],
  ["app.localhost", "NAME_RESERVED"],
  ["localhost", "NAME_RESERVED"],
  ["", "NAME_INVALID"],
  ["*", "NAME_INVALID"],
  ["a..example.test", "NAME_INVALID"],
  ["-a.example.test", "NAME_INVALID"],
  ["Blog.example.test", "NAME_INVALID"],
  ["blog.example.test.", "NAME_INVALID"],
  ["b*g.example.test", "NAME_INVALID"],
  ["blog .example.test", "NAME_INVALID"],
  [`${"a".repeat(64)}.example.test`, "NAME_INVALID"],
  [`${"a.".repeat(127)}example.test`, "NAME_INVALID"],
  ["127.0.0.1", "NAME_INVALID"],
];
for (const [name, kind] of REFUSED) {
  Deno.test(`claim() refuses "${name.slice(0, 40)}" as ${kind}`, async () => {
    await using setup = await setUpState();
    const { tunnel } = await setup.tunnel({ domains: ["*.localhost.org", "other.org"] });
    await assertFails(setup.state.names.claim(tunnel, name), kind);
    assert.deepEqual(setup.state.names.listOf(tunnel.id), [tunnel.hostname]);
  });
}

Deno.test("a server that is its domain, or has only an address, still keeps its own name", async () => {
  for (const hostname of ["example.test", "192.0.2.1"]) {
    await using setup = await setUpState({ hostname });
    const { tunnel } = await setup.tunnel({ domains: ["*.example.org"] });
    await assertFails(setup.state.names.claim(tunnel, "example.test"), "NAME_RESERVED");
    await setup.state.names.claim(tunnel, "tunnel.example.test");
  }
});

Deno.test("a released name rests 30 days for others, and none for its tunnel", async () => {
  await using setup = await setUpState();
  const { names } = setup.state;
  const { tunnel: first } = await setup.tunnel();
  const { tunnel: second } = await setup.tunnel();
  await names.claim(first, "blog.example.test");
  await assertFails(names.release(second, "blog.example.test"), "NAME_NOT_ALLOWED");
  await names.release(first, "www.blog.example.test");
  assert.equal(names.ownerOf("blog.example.test"), undefined);
  await assertFails(names.claim(second, "blog.example.test"), "NAME_RESTING");
  await names.claim(first, "blog.example.test");
  await names.release(first, "blog.example.test");
  setup.clock.now += NAME_REST_MS - 1;
  await assertFails(names.claim(second, "blog.example.test"), "NAME_RESTING");
  setup.clock.now += 1;
  await names.claim(second, "blog.example.test");
  assert.equal(NAME_REST_MS, 30 * DAY_MS);
});

Deno.test("endRest() lets the operator free a resting name", async () => {
  await using setup = await setUpState();
  const { names } = setup.state;
  const { tunnel: first } = await setup.tunnel();
  const { tunnel: second } = await setup.tunnel();
  await names.claim(first, "blog.example.test");
  assert.equal(await names.endRest("blog.example.test"), false);
  await names.release(first, "blog.example.test");
  assert.equal(await names.endRest("blog.example.test"), true);
  await names.claim(second, "blog.example.test");
});

Deno.test("an assigned hostname is not released and not counted", async () => {
  await using setup = await setUpState();
  const { names } = setup.state;
  const { tunnel } = await setup.tunnel({ maxNames: 1 });
  assert.match(tunnel.hostname, /^[a-z]+-[a-z]+-\d{5}\.example\.test$/);
  assert.equal(names.ownerOf(`blog.${tunnel.hostname}`), tunnel.id);
  await assertFails(names.release(tunnel, tunnel.hostname), "NAME_NOT_ALLOWED");
  await names.claim(tunnel, `blog.${tunnel.hostname}`);
  await names.claim(tunnel, "one.example.test");
  await assertFails(names.claim(tunnel, "two.example.test"), "QUOTA_EXCEEDED");
  await names.release(tunnel, "one.example.test");
  await names.claim(tunnel, "two.example.test");
});

Deno.test("the quota holds against concurrent claims, also with those of temporary tunnels", async () => {
  await using setup = await setUpState();
  const { names, tunnels } = setup.state;
  const { tunnel } = await setup.tunnel({ maxNames: 5 });
  const { tunnel: child } = await tunnels.createTemporary(tunnel);
  const results = await Promise.allSettled(
    Array.from({ length: 30 }, (_, index) => names.claim(index % 2 === 0 ? tunnel : child, `n${index}.example.test`)),
  );
  assert.equal(results.filter((result) => result.status === "fulfilled").length, 5);
  assert.equal(names.listOf(tunnel.id).length + names.listOf(child.id).length, 5 + 2);
});

Deno.test("a temporary tunnel may use its parent's names, but not release them", async () => {
  await using setup = await setUpState();
  const { names, tunnels } = setup.state;
  const { tunnel: parent } = await setup.tunnel();
  const { tunnel: child } = await tunnels.createTemporary(parent);
  await names.claim(parent, "blog.example.test");
  await names.claim(child, "a.blog.example.test");
  assert.equal(names.mayUse(child, "blog.example.test"), true);
  assert.equal(names.ownerOf("blog.example.test"), parent.id);
  await assertFails(names.release(child, "blog.example.test"), "NAME_NOT_ALLOWED");
  const { tunnel: stranger } = await tunnels.createTemporary((await setup.tunnel()).tunnel);
  await assertFails(names.claim(stranger, "blog.example.test"), "NAME_TAKEN");
});

Deno.test("a new one-shot takes over the name of an ended one of the same tunnel at once", async () => {
  await using setup = await setUpState();
  const { names, tunnels, sightings } = setup.state;
  const { tunnel: parent } = await setup.tunnel();
  const { tunnel: first } = await tunnels.createTemporary(parent);
  const { tunnel: second } = await tunnels.createTemporary(parent);
  await names.claim(first, "demo.example.test");
  await assertFails(names.claim(second, "demo.example.test"), "NAME_TAKEN");
  await sightings.note(first.id, { from: "192.0.2.1", ended: true });
  await names.claim(second, "demo.example.test");
  assert.equal(names.ownerOf("demo.example.test"), second.id);
  await sightings.note(second.id, { from: "192.0.2.1", ended: true });
  const { tunnel: stranger } = await setup.tunnel();
  await assertFails(names.claim(stranger, "demo.example.test"), "NAME_TAKEN");
});

Deno.test("names survive a restart, whether their tunnel is connected or not", async () => {
  await using setup = await setUpState();
  const { tunnel } = await setup.tunnel();
  await setup.state.names.claim(tunnel, "blog.example.test");
  setup.clock.now += 365 * DAY_MS;
  await setup.state.sweep();
  const after = await setup.another();
  assert.equal(after.names.ownerOf("blog.example.test"), tunnel.id);
  assert.equal(after.names.ownerOf(tunnel.hostname), tunnel.id);
});

Deno.test("sweep() frees what belongs to no tunnel, and forgets what has rested", async () => {
  await using setup = await setUpState();
  const { names } = setup.state;
  const ghost = { id: "6f1e8c1e-0000-4000-8000-000000000000", grants: DEFAULT_GRANTS };
  await names.claim(ghost, "ghost.example.test");
  await setup.state.sweep();
  assert.equal(names.ownerOf("ghost.example.test"), ghost.id, "its tunnel may be in the making");
  setup.clock.now += 6 * MINUTE_MS;
  await setup.state.sweep();
  assert.equal(names.ownerOf("ghost.example.test"), undefined);
  setup.clock.now += NAME_REST_MS + 1;
  await setup.state.sweep();
  assert.deepEqual(await setup.store.list("names."), []);
});

Deno.test("exactly one of 50 concurrent claims of a name wins, on two stores of one file", async () => {
  const folder = await Deno.makeTempDir();
  {
    await using mine = await openSqliteStore(`${folder}/state.db`);
    await using other = await openSqliteStore(`${folder}/state.db`);
    using myNames = new Names(mine, { domain: "example.test", hostname: "tunnel.example.test" });
    using otherNames = new Names(other, { domain: "example.test", hostname: "tunnel.example.test" });
    await Promise.all([myNames.open(), otherNames.open()]);
    const ids = Array.from({ length: 50 }, (_, index) => `tunnel-${index}`);
    const results = await Promise.allSettled(
      ids.map((id, index) =>
        (index % 2 === 0 ? myNames : otherNames).claim({ id, grants: DEFAULT_GRANTS }, "wanted.example.test")
      ),
    );
    const winners = ids.filter((_, index) => results[index]!.status === "fulfilled");
    assert.equal(winners.length, 1);
    for (const result of results) {
      if (result.status === "rejected") assert.equal(result.reason.kind, "NAME_TAKEN");
    }
    await myNames.claim({ id: winners[0]!, grants: DEFAULT_GRANTS }, "wanted.example.test");
    assert.equal(myNames.ownerOf("wanted.example.test"), winners[0]);
  }
  await Deno.remove(folder, { recursive: true });
});

Deno.test("below a domain that the operator names, any tunnel takes a free name without proof, and nobody has them all", async () => {
  await using setup = await setUpState({ withoutProof: ["internal.org"] });
  const { names } = setup.state;
  const [{ tunnel: one }, { tunnel: two }] = [await setup.tunnel(), await setup.tunnel()];
  await names.claim(one, "blog.internal.org");
  await assertFails(names.claim(two, "blog.internal.org"), "NAME_TAKEN");
  await names.claim(two, "a.blog.internal.org");
  for (const name of ["internal.org", "notinternal.org", "org"]) {
    await assertFails(names.claim(one, name), "DOMAIN_NOT_VERIFIED");
  }
  await assertFails(names.prove(one, "internal.org"), "NAME_NOT_ALLOWED");
  // Also when it is a part of what somebody proves.
  await using above = await setUpState({ withoutProof: ["internal.corp.org"] });
  const [{ tunnel: owner }, { tunnel: other }] = [await above.tunnel(), await above.tunnel()];
  await above.state.names.prove(owner, "corp.org");
  await above.state.names.claim(other, "blog.internal.corp.org");
  assert.equal(above.state.names.ownerOf("free.internal.corp.org"), undefined);
  assert.equal(above.state.names.ownerOf("free.corp.org"), owner.id);
});

Deno.test("the server's own name is nobody's, also below a domain that was proven", async () => {
  await using setup = await setUpState({ domain: "tunnels.corp.org", hostname: "edge.corp.org" });
  const { names } = setup.state;
  const { tunnel } = await setup.tunnel();
  await names.prove(tunnel, "corp.org");
  for (const name of ["edge.corp.org", "tunnels.corp.org"]) {
    assert.equal(names.ownerOf(name), undefined, name);
    assert.equal(names.mayUse(tunnel, name), false, name);
    await assertFails(names.claim(tunnel, name), "NAME_RESERVED");
    await assertFails(names.prove(tunnel, name), "NAME_RESERVED");
  }
  assert.equal(names.ownerOf("free.tunnels.corp.org"), undefined);
  await assertFails(names.release(tunnel, "blog.corp.org"), "NAME_NOT_ALLOWED");
  assert.equal(names.ownerOf("blog.corp.org"), tunnel.id);
});

Deno.test("a name that was granted is proven later, and then covers what is below it", async () => {
  await using setup = await setUpState();
  const { names } = setup.state;
  const { tunnel } = await setup.tunnel({ domains: ["shop.org"] });
  await names.claim(tunnel, "shop.org");
  const told: string[] = [];
  using _watch = names.watchProven((domain) => told.push(domain));
  await assertFails(names.claim(tunnel, "a.shop.org"), "DOMAIN_NOT_VERIFIED");
  await names.prove(tunnel, "shop.org");
  await names.claim(tunnel, "a.shop.org");
  assert.deepEqual(names.provenOf(tunnel.id), [
    { domain: "shop.org", tunnel: tunnel.id, since: setup.clock.now },
  ]);
  await names.release(tunnel, "shop.org");
  assert.deepEqual(told, ["shop.org", "shop.org"]);
  assert.equal(names.ownerOf("a.shop.org"), undefined);
});

Deno.test("a proof ends the rest of a name, of 20 at once exactly one gets it", async () => {
  await using setup = await setUpState();
  const { names } = setup.state;
  const { tunnel: before } = await setup.tunnel();
  await names.prove(before, "shop.org");
  await names.release(before, "shop.org");
  const rivals = await Promise.all(Array.from({ length: 20 }, () => setup.tunnel()));
  const settled = await Promise.allSettled(rivals.map(({ tunnel }) => names.prove(tunnel, "shop.org")));
  assert.equal(settled.filter(({ status }) => status === "fulfilled").length, 1);
  assert.notEqual(names.ownerOf("shop.org"), before.id);
});
