import assert from "node:assert/strict";
import fc from "fast-check";
import { toDestination } from "../../protocol/destination.ts";
import type { MeshIdentity } from "./identity.ts";
import { Policy } from "./policy.ts";
import { checkFrom, checkTo, type PolicyLine } from "./policy_line.ts";
import { externalTarget, ruleTarget } from "./policy_target.ts";
import { ANONYMOUS, fakeIdentity, fakeTunnel, httpRule, tcpRule } from "./testing/fake_rules.ts";

const ALICE = fakeIdentity(fakeTunnel("laptop", { owner: "alice", tags: ["laptop"] }));
const BOB = fakeIdentity(fakeTunnel("desk", { owner: "bob", tags: ["ci"] }));
const DATABASE = fakeTunnel("database", { owner: "alice", tags: ["db", "prod"] });
const REDIS = ruleTarget(tcpRule(DATABASE, 22_001, { service: "redis", targetPort: 6_379 }));
const SITE = ruleTarget(httpRule(DATABASE, "wiki.example.test", { service: "wiki" }));
const OUTSIDE = externalTarget(toDestination("db.srv.local", 5432), "10.1.2.3");

function decide(lines: PolicyLine[], identity: MeshIdentity, target = REDIS): string {
  return new Policy(lines).decide(identity, target).action;
}

function line(action: "allow" | "deny", from: string[], to: string[]): PolicyLine {
  return { action, from, to };
}

Deno.test("without lines: everything within an owner, nothing between owners, outside what the allow-list has, nothing for anonymous", () => {
  const policy = new Policy([]);
  const decisions = [ALICE, BOB, ANONYMOUS].map((identity) =>
    [REDIS, SITE, OUTSIDE].map((target) => policy.decide(identity, target).action)
  );
  assert.deepEqual(decisions, [
    ["allow", "allow", "allow"],
    ["deny", "deny", "allow"],
    ["deny", "deny", "deny"],
  ]);
});

Deno.test("the first line that matches decides, and is named", () => {
  const policy = new Policy([
    line("deny", ["tag:laptop"], ["service:mysql"]),
    line("allow", ["tag:ci"], ["service:redis", "port:80"]),
    line("deny", ["*"], ["*"]),
  ]);
  assert.deepEqual(policy.decide(BOB, REDIS), {
    action: "allow",
    line: { number: 2, text: "allow from tag:ci to service:redis, port:80" },
    reason: "line 2 of the policy: allow from tag:ci to service:redis, port:80",
  });
  assert.equal(policy.decide(ALICE, REDIS).line?.number, 3);
});

const MATCHES: [selector: string, redis: boolean, site: boolean, outside: boolean][] = [
  ["*", true, true, true],
  ["owner:alice", true, true, false],
  ["owner:bob", false, false, false],
  ["tag:prod", true, true, false],
  ["tag:ci", false, false, false],
  ["service:redis", true, false, false],
  ["service:wiki", false, true, false],
  ["port:22001", true, false, false],
  ["port:22000-22999", true, false, false],
  ["port:6379", false, false, false],
  ["port:80", false, true, false],
  ["port:5432", false, false, true],
  ["host:database.example.test", true, false, false],
  ["host:wiki.example.test", false, true, false],
  ["host:*.example.test", true, true, false],
  ["host:db.srv.local", false, false, true],
  ["host:*.srv.local", false, false, true],
  ["cidr:10.1.0.0/16", false, false, true],
  ["cidr:10.2.0.0/16", false, false, false],
];

for (const [selector, ...expected] of MATCHES) {
  Deno.test(`${selector} means what it says`, () => {
    const denied = [REDIS, SITE, OUTSIDE].map((target) => decide([line("deny", ["*"], [selector])], ALICE, target));
    assert.deepEqual(denied, expected.map((matches) => matches ? "deny" : "allow"));
  });
}

Deno.test("who: owner, tag and everybody with a token; a deny for everybody is for anonymous as well", () => {
  const allowed = (from: string, identity: MeshIdentity): boolean =>
    decide([line("allow", [from], ["service:redis"]), line("deny", ["*"], ["*"])], identity) === "allow";
  assert.deepEqual(
    ["owner:bob", "owner:alice", "tag:ci", "tag:db", "*", "anonymous"].map((from) => allowed(from, BOB)),
    [
      ...[true, false, true, false, true, false],
    ],
  );
  assert.deepEqual(["*", "anonymous", "owner:bob"].map((from) => allowed(from, ANONYMOUS)), [false, true, false]);
  assert.equal(
    decide([line("deny", ["*"], ["*"]), line("allow", ["anonymous"], ["service:redis"])], ANONYMOUS),
    "deny",
  );
});

Deno.test("a site is denied under each of its names, whichever is asked for", () => {
  const site = httpRule(DATABASE, "wiki.example.test");
  const below = ruleTarget(site, { host: "a.wiki.example.test" });
  assert.equal(decide([line("deny", ["*"], ["host:wiki.example.test"])], ALICE, below), "deny");
  assert.equal(decide([line("deny", ["*"], ["host:a.wiki.example.test"])], ALICE, below), "deny");
});

Deno.test("before a name is resolved a line for addresses may still allow it, and never denies", () => {
  const unresolved = externalTarget(toDestination("db.srv.local", 5432));
  const byAddress = [line("allow", ["*"], ["cidr:10.1.0.0/16"]), line("deny", ["*"], ["*"])];
  assert.equal(decide(byAddress, BOB, unresolved), "allow");
  assert.equal(decide(byAddress, BOB, OUTSIDE), "allow");
  assert.equal(decide(byAddress, BOB, externalTarget(toDestination("db.srv.local", 5432), "10.2.0.1")), "deny");
  assert.equal(decide([line("deny", ["*"], ["cidr:10.1.0.0/16"])], BOB, unresolved), "allow");
  assert.equal(decide([line("deny", ["*"], ["cidr:10.1.0.0/16"])], BOB, OUTSIDE), "deny");
  assert.equal(decide([line("deny", ["*"], ["cidr:::ffff:10.1.0.0/112"])], BOB, OUTSIDE), "deny");
});

Deno.test("a deny by address also counts for the IPv4 address in an IPv6 one, an allow does not", () => {
  const rest = line("deny", ["*"], ["*"]);
  for (const address of ["64:ff9b::a01:203", "2002:a01:203::1", "2001:0:a01:203::"]) {
    const outside = externalTarget(toDestination("db.srv.local", 5432), address);
    assert.equal(decide([line("deny", ["*"], ["cidr:10.1.0.0/16"])], BOB, outside), "deny", address);
    assert.equal(decide([line("deny", ["*"], ["cidr:10.2.0.0/16"])], BOB, outside), "allow", address);
    assert.equal(decide([line("allow", ["*"], ["cidr:10.1.0.0/16"]), rest], BOB, outside), "deny", address);
  }
});

Deno.test("whoever has no credentials is never granted everything", () => {
  assert.throws(() => new Policy([line("allow", ["anonymous"], ["*"])]), { kind: "CONFIG_INVALID" });
  assert.throws(() => new Policy([line("allow", ["owner:a", "anonymous"], ["port:1", "*"])]), {
    kind: "CONFIG_INVALID",
  });
  new Policy([line("deny", ["anonymous"], ["*"])]);
});

for (const text of ["", "alice", "owner:", "owner:a b", "user:a", "tag:ä", "service:redis", "host:a.b", "Anonymous"]) {
  Deno.test(`from refuses ${JSON.stringify(text)}`, () =>
    assert.throws(() => checkFrom(text), { kind: "CONFIG_INVALID" }));
}

for (
  const text of [
    ...["", "redis", "service:a.b", "service:A", "port:0", "port:1-0", "port:http", "host:", "host:A.b", "host:*"],
    ...["cidr:10.0.0.0/33", "cidr:x", "anonymous", "tunnel:a", "constructor:a", "__proto__:a"],
  ]
) {
  Deno.test(`to refuses ${JSON.stringify(text)}`, () => assert.throws(() => checkTo(text), { kind: "CONFIG_INVALID" }));
}

Deno.test("those without credentials are admitted by a line that allows and names them, and by no other", () => {
  const admits = (from: string[], action: "allow" | "deny") =>
    new Policy([{ from, to: ["port:1"], action }]).admitsAnonymous;
  assert.deepEqual([admits(["tag:a", "anonymous"], "allow"), admits(["*"], "allow"), admits(["anonymous"], "deny")], [
    ...[true, false, false],
  ]);
  assert.equal(new Policy([]).admitsAnonymous, false);
});

const word = fc.constantFrom("a", "b", "c", "d");
const tunnel = fc.record({ name: word, owner: word, tags: fc.uniqueArray(word) })
  .map(({ name, ...rest }) => fakeTunnel(name, rest));
const from = fc.oneof(
  word.map((each) => `owner:${each}`),
  word.map((each) => `tag:${each}`),
  fc.constantFrom("*", "anonymous"),
);
const to = fc.oneof(
  ...["owner", "tag", "service"].map((kind) => word.map((each) => `${kind}:${each}`)),
  fc.integer({ min: 22_000, max: 22_003 }).map((port) => `port:${port}`),
);
const policyLine = fc.record({
  from: fc.array(from, { minLength: 1, maxLength: 3 }),
  to: fc.array(to, { minLength: 1, maxLength: 3 }),
  action: fc.constantFrom("allow" as const, "deny" as const),
});
const rule = fc.record({ behind: tunnel, port: fc.integer({ min: 22_000, max: 22_003 }), service: fc.option(word) })
  .map(({ behind, port, service }) => tcpRule(behind, port, service === null ? {} : { service }));

Deno.test("any policy: between owners and for anonymous, an allow is always a line that names who and what", () => {
  fc.assert(fc.property(fc.array(policyLine, { maxLength: 6 }), fc.option(tunnel), rule, (lines, who, published) => {
    const identity = who === null ? ANONYMOUS : fakeIdentity(who);
    const decision = new Policy(lines).decide(identity, ruleTarget(published));
    const { owner } = published.session.tunnel;
    const isWithin = who !== null && who.owner === owner;
    if (decision.line === undefined) return assert.equal(decision.action, isWithin ? "allow" : "deny");
    const deciding = lines[decision.line.number - 1]!;
    assert.equal(deciding.action, decision.action);
    // What stands before it says nothing about these two.
    const earlier = lines.slice(0, decision.line.number - 1);
    for (const each of earlier) {
      assert.equal(new Policy([each]).decide(identity, ruleTarget(published)).line, undefined);
    }
    if (decision.action === "allow" && who === null) assert.ok(deciding.from.includes("anonymous"));
  }));
});
