import assert from "node:assert/strict";
import { CodedError } from "../protocol/errors.ts";
import type { PublishedRule } from "./published_rule.ts";
import { Router } from "./router.ts";

/** A router never looks into a rule: identity is all that matters. */
function fakeRule(): PublishedRule {
  return {} as PublishedRule;
}

Deno.test("route() finds an exact name before the sub-domains of another", () => {
  const router = new Router(() => false);
  const [whole, exact] = [fakeRule(), fakeRule()];
  router.add("calm-fox-12345.example.com", whole, { below: true });
  router.add("api.calm-fox-12345.example.com", exact, { below: false });
  assert.deepEqual(router.route("calm-fox-12345.example.com"), { kind: "found", rule: whole });
  assert.equal((router.route("api.calm-fox-12345.example.com") as { rule: unknown }).rule, exact);
  assert.equal((router.route("a.b.calm-fox-12345.example.com") as { rule: unknown }).rule, whole);
  assert.equal((router.route("x.api.calm-fox-12345.example.com") as { rule: unknown }).rule, whole);
});

Deno.test("route() does not lead to sub-domains of a name that was published alone", () => {
  const router = new Router(() => false);
  router.add("blog.example.com", fakeRule(), { below: false });
  assert.deepEqual(router.route("a.blog.example.com"), { kind: "unknown" });
  assert.deepEqual(router.route("example.com"), { kind: "unknown" });
  assert.deepEqual(router.route("xblog.example.com"), { kind: "unknown" });
});

Deno.test("route() tells a tunnel that is away from a name that nobody has", () => {
  const router = new Router((host) => host === "mine.example.com");
  assert.deepEqual(router.route("mine.example.com"), { kind: "offline" });
  assert.deepEqual(router.route("other.example.com"), { kind: "unknown" });
});

Deno.test("route() takes names of object properties for names", () => {
  const router = new Router(() => false);
  for (const host of ["__proto__", "constructor", "tostring.example.com", "hasownproperty"]) {
    assert.deepEqual(router.route(host), { kind: "unknown" });
    const rule = fakeRule();
    router.add(host, rule, { below: true });
    assert.equal((router.route(`a.${host}`) as { rule: unknown }).rule, rule);
  }
});

Deno.test("route() gives the same answer for each of 10,000 hosts as for the only one", () => {
  const router = new Router(() => false);
  const rules = Array.from({ length: 10_000 }, fakeRule);
  rules.forEach((rule, index) => router.add(`host-${index}.example.com`, rule, { below: index % 2 === 0 }));
  rules.forEach((rule, index) => {
    assert.equal((router.route(`host-${index}.example.com`) as { rule: unknown }).rule, rule);
    const below = router.route(`a.host-${index}.example.com`);
    assert.equal(below.kind, index % 2 === 0 ? "found" : "unknown");
  });
});

Deno.test("add() refuses a name that is published already", () => {
  const router = new Router(() => false);
  router.add("blog.example.com", fakeRule(), { below: false });
  assert.throws(
    () => router.add("blog.example.com", fakeRule(), { below: false }),
    (error) => error instanceof CodedError && error.kind === "NAME_TAKEN",
  );
});

Deno.test("remove() leaves what another rule has put there since", () => {
  const router = new Router(() => false);
  const [old, next] = [fakeRule(), fakeRule()];
  router.add("blog.example.com", old, { below: true });
  router.remove("blog.example.com", old);
  router.add("blog.example.com", next, { below: false });
  router.remove("blog.example.com", old);
  assert.equal((router.route("blog.example.com") as { rule: unknown }).rule, next);
  assert.deepEqual(router.route("a.blog.example.com"), { kind: "unknown" }, "sub-domains went with the old rule");
});

Deno.test("route() leaves a sub-domain that is kept for a rule of its own to nobody", () => {
  const router = new Router(() => false);
  const whole = fakeRule();
  const isKept = (host: string): boolean => host === "admin.calm-fox-12345.example.com";
  router.add("calm-fox-12345.example.com", whole, { below: true, isKept });
  assert.deepEqual(router.route("admin.calm-fox-12345.example.com"), { kind: "unknown" });
  assert.equal((router.route("www.calm-fox-12345.example.com") as { rule: unknown }).rule, whole);
});

Deno.test("a hidden rule is nothing to visitors, also below its name, and found by whoever may ask for it", () => {
  const router = new Router(() => true);
  const [hidden, above] = [fakeRule(), fakeRule()];
  router.add("calm-fox-12345.example.com", above, { below: true });
  router.add("api.calm-fox-12345.example.com", hidden, { below: true, hidden: true });
  for (const host of ["api.calm-fox-12345.example.com", "v1.api.calm-fox-12345.example.com"]) {
    assert.deepEqual(router.route(host), { kind: "unknown" });
    assert.equal(router.find(host), hidden);
  }
  router.remove("api.calm-fox-12345.example.com", hidden);
  router.add("api.calm-fox-12345.example.com", hidden, { below: false });
  assert.deepEqual(router.route("api.calm-fox-12345.example.com"), { kind: "found", rule: hidden });
});
