import assert from "node:assert/strict";
import { CodedError } from "../protocol/errors.ts";
import type { FirewallRule, Rule } from "../protocol/rule.ts";
import { PublishedRule, type StreamOpener, type Upstreams, type Visit } from "./published_rule.ts";

/** Nobody opens streams here. */
const SESSION = {} as StreamOpener;

function httpRule(firewall: FirewallRule[] = [], target: string = "127.0.0.1:80"): Rule {
  return { kind: "http", domain: "blog.example.com", target, firewall };
}

function visitOf(address: string): Visit & { resets: CodedError[] } {
  const resets: CodedError[] = [];
  return { address, resets, reset: (error) => void resets.push(error) };
}

/** Upstreams that only count what is asked of them. */
function countingUpstreams(): Upstreams & { closed: number } {
  const upstreams = {
    closed: 0,
    route: () => ({ key: 0, acquire: () => Promise.reject(new CodedError("TUNNEL_OFFLINE")) }),
    closeIdle: () => void upstreams.closed++,
    closeOldest: () => false,
  };
  return upstreams;
}

Deno.test("an edit of the firewall counts at once, and resets those whom it drops now", () => {
  const rule = new PublishedRule(SESSION, httpRule());
  const [friend, stranger, gone] = [visitOf("192.0.2.1"), visitOf("198.51.100.1"), visitOf("198.51.100.2")];
  for (const visit of [friend, stranger, gone]) rule.enter(visit);
  rule.leave(gone);
  rule.update(httpRule([{ action: "allow", network: "192.0.2.0/24" }]));
  assert.ok(rule.allows("192.0.2.9") && !rule.allows("198.51.100.9"));
  assert.deepEqual([friend, stranger, gone].map(({ resets }) => resets.map(({ kind }) => kind)), [
    [],
    ["FORBIDDEN"],
    [],
  ]);
});

Deno.test("an edit of the firewall keeps connections to the target, another target does not", () => {
  const rule = new PublishedRule(SESSION, httpRule());
  const upstreams = rule.upstreams = countingUpstreams();
  rule.update(httpRule([{ action: "drop", network: "192.0.2.1" }]));
  assert.deepEqual([rule.revision, upstreams.closed], [1, 0]);
  rule.update(httpRule([], "127.0.0.1:81"));
  assert.deepEqual([rule.revision, upstreams.closed], [2, 1]);
  rule.update(httpRule([], "127.0.0.1:81"));
  assert.deepEqual([rule.revision, upstreams.closed], [2, 1]);
});

Deno.test("an edit that is not valid changes nothing", () => {
  const rule = new PublishedRule(SESSION, httpRule([{ action: "allow", network: "192.0.2.0/24" }]));
  const stranger = visitOf("198.51.100.1");
  rule.enter(stranger);
  assert.throws(() => rule.update(httpRule([{ action: "allow", network: "everybody" }], "127.0.0.1:81")), {
    kind: "NETWORK_INVALID",
  });
  assert.ok(!rule.allows("198.51.100.1") && rule.allows("192.0.2.1"));
  assert.deepEqual([rule.revision, stranger.resets], [1, []]);
});

Deno.test("withdraw() resets every visit with its reason", () => {
  const rule = new PublishedRule(SESSION, httpRule());
  const upstreams = rule.upstreams = countingUpstreams();
  const visits = [visitOf("192.0.2.1"), visitOf("192.0.2.2")];
  // What a reset brings with it: the visit leaves while the others are told.
  for (const visit of visits) rule.enter({ address: visit.address, reset: (error) => visit.reset(error) });
  rule.withdraw(new CodedError("TUNNEL_OFFLINE"));
  assert.ok(rule.withdrawn);
  assert.equal(upstreams.closed, 1);
  for (const { resets } of visits) assert.deepEqual(resets.map(({ kind }) => kind), ["TUNNEL_OFFLINE"]);
});

Deno.test("an edit of the options keeps connections to the target; options that are the same stay as they are", () => {
  const rule = new PublishedRule(SESSION, { ...httpRule(), options: { stripPrefix: "/a" } } as Rule);
  const upstreams = rule.upstreams = countingUpstreams();
  const { options } = rule;
  rule.update({ ...httpRule([{ action: "drop", network: "192.0.2.1" }]), options: { stripPrefix: "/a" } } as Rule);
  assert.equal(rule.options, options);
  rule.update({ ...httpRule(), options: { stripPrefix: "/b" } } as Rule);
  assert.notEqual(rule.options, options);
  rule.update(httpRule());
  assert.deepEqual([rule.options, rule.revision, upstreams.closed], [undefined, 1, 0]);
});

Deno.test("options that cannot be carried out are refused, and so are those of a rule whose TLS ends at the target", () => {
  const cases = [
    [{ options: { basicAuth: [{ user: "a", hash: "" }] } }, "RULE_INVALID"],
    [{ tls: "target", options: { maxBodyBytes: 1 } }, "OPTION_NEEDS_PLAINTEXT"],
    [{ tls: "target", hostHeader: "a.example" }, "OPTION_NEEDS_PLAINTEXT"],
  ] as const;
  for (const [more, kind] of cases) {
    const wrong = { ...httpRule(), ...more } as Rule;
    assert.throws(() => new PublishedRule(SESSION, wrong), { kind });
    const rule = new PublishedRule(SESSION, httpRule());
    assert.throws(() => rule.update(wrong), { kind });
  }
  assert.ok(new PublishedRule(SESSION, { ...httpRule(), tls: "target" } as Rule));
});

Deno.test("an edit of the firewall is not for what comes through the mesh, the end of the rule is", () => {
  const rule = new PublishedRule(SESSION, httpRule());
  const visit = { ...visitOf("198.51.100.1"), exempt: true };
  rule.enter(visit);
  rule.update(httpRule([{ action: "drop", network: "0.0.0.0/0" }]));
  assert.deepEqual(visit.resets, []);
  rule.withdraw(new CodedError("TUNNEL_OFFLINE"));
  assert.deepEqual(visit.resets.map(({ kind }) => kind), ["TUNNEL_OFFLINE"]);
});

Deno.test("a service name says nothing about where a rule leads", () => {
  const rule = new PublishedRule(SESSION, httpRule());
  rule.update({ ...httpRule(), service: "wiki" });
  assert.equal(rule.revision, 1);
});
