import assert from "node:assert/strict";
import type { Rule, TcpRule } from "../protocol/rule.ts";
import { CodedError } from "../protocol/errors.ts";
import type { Session } from "./session.ts";
import { type SessionSetup, setUpSessions } from "./testing/session_setup.ts";

async function joined(setup: SessionSetup): Promise<Session> {
  const tunnel = await setup.enrolled();
  await setup.dial(tunnel).join();
  return setup.sessions.serving(tunnel.id)!;
}

function http(domain: string, more: Partial<Rule> = {}): Rule {
  return { kind: "http", domain, target: "127.0.0.1:80", firewall: [], ...more } as Rule;
}

function tcp(port: number): TcpRule {
  return { kind: "tcp", transport: "tcp", port, target: "127.0.0.1:22", firewall: [] };
}

const ENDS_AT_SERVER = { tls: "server" } as Partial<Rule>;

async function codes(session: Session, rules: readonly Rule[]): Promise<string[]> {
  return (await session.publisher.apply(rules)).map(({ state, code }) => code ?? state);
}

Deno.test("apply() makes the given rules, and no others, the ones that visitors reach", async () => {
  await using setup = await setUpSessions();
  const session = await joined(setup);
  const port = await setup.state.ports.allocate(session.tunnel, {});
  const [a, b] = ["a.example.test", "b.example.test"] as const;
  assert.deepEqual(await codes(session, [http(a), http(b), tcp(port)]), ["active", "active", "active"]);
  const kept = setup.router.route(a);
  assert.ok(kept.kind === "found" && setup.ports.has(port));
  assert.deepEqual(await codes(session, [http(a)]), ["active"]);
  assert.deepEqual(setup.router.route(a), kept, "what did not change is the same as before");
  assert.equal(setup.router.route(b).kind, "unknown");
  assert.ok(!setup.ports.has(port));
});

Deno.test("apply() tells what it refused, and publishes the rest", async () => {
  await using setup = await setUpSessions();
  const [session, other] = [await joined(setup), await joined(setup)];
  const taken = "taken.example.test";
  assert.deepEqual(await codes(other, [http(taken)]), ["active"]);
  const refused: [rule: Rule, code: string][] = [
    [http(taken), "E4001"],
    [http(`deep.${taken}`), "E4001"],
    [http("www.example.test"), "E4002"],
    [http("under_score.example.test"), "E4003"],
    [http("elsewhere.example"), "E4016"],
    [http("bad.example.test", { firewall: [{ action: "allow", network: "everybody" }] }), "E4013"],
    [tcp(22_003), "E4007"],
    [tcp(80), "E4008"],
  ];
  const all = [http("good.example.test"), ...refused.map(([rule]) => rule)];
  assert.deepEqual(await codes(session, all), ["active", ...refused.map(([, code]) => code)]);
  assert.deepEqual(session.publisher.rules.map(({ id }) => id), ["http/good.example.test"]);
});

Deno.test("states says what the client was told last of each rule it wants", async () => {
  await using setup = await setUpSessions();
  const session = await joined(setup);
  const { publisher } = session;
  await publisher.apply([http("a.example.test"), http("www.example.test")]);
  const states = () => publisher.states.map(({ id, state, code }) => [id, code ?? state]);
  assert.deepEqual(states(), [["http/a.example.test", "active"], ["http/www.example.test", "E4002"]]);
  publisher.drop("http/a.example.test");
  assert.deepEqual(states(), [["http/a.example.test", "E4014"], ["http/www.example.test", "E4002"]]);
  await publisher.apply([http("b.example.test")]);
  assert.deepEqual(states(), [["http/b.example.test", "active"]]);
});

Deno.test("an edit that is not valid takes its rule out: what it would have dropped must not come in (P10)", async () => {
  await using setup = await setUpSessions();
  const session = await joined(setup);
  const domain = "a.example.test";
  await session.publisher.apply([http(domain)]);
  const broken = http(domain, { firewall: [{ action: "allow", network: "10.0.0.0/33" }] });
  assert.deepEqual(await codes(session, [broken]), ["E4013"]);
  assert.equal(setup.router.route(domain).kind, "unknown");
  assert.deepEqual(await codes(session, [http(domain)]), ["active"]);
});

Deno.test("states are applied one after the other, whatever each waits for", async () => {
  await using setup = await setUpSessions();
  const session = await joined(setup);
  const applied = [["a", "b"], ["b"], [], ["c"]].map((names) =>
    session.publisher.apply(names.map((name) => http(`${name}.example.test`)))
  );
  await Promise.all(applied);
  assert.deepEqual(session.publisher.rules.map(({ id }) => id), ["http/c.example.test"]);
});

Deno.test("nothing of a session stays published that ends while its rules are applied", async () => {
  await using setup = await setUpSessions();
  const session = await joined(setup);
  const port = await setup.state.ports.allocate(session.tunnel, {});
  const applying = session.publisher.apply([http("a.example.test"), tcp(port)]);
  const ending = session.end(new CodedError("REVOKED"));
  await Promise.all([applying, ending]);
  assert.deepEqual(session.publisher.rules, []);
  assert.equal(setup.router.route("a.example.test").kind, "unknown");
  assert.ok(!setup.ports.has(port));
  assert.deepEqual(await codes(session, [http("b.example.test")]), ["E3015"]);
});

Deno.test("dropBelow() takes out every rule below a name that is given up, and tells the client", async () => {
  await using setup = await setUpSessions();
  const tunnel = await setup.enrolled();
  const peer = setup.dial(tunnel);
  await peer.join();
  const session = setup.sessions.serving(tunnel.id)!;
  await session.publisher.apply([http("shop.example.test"), http("api.shop.example.test"), http("blog.example.test")]);
  session.publisher.dropBelow("shop.example.test");
  assert.deepEqual(session.publisher.rules.map(({ id }) => id), ["http/blog.example.test"]);
  const { rules: [state] } = await peer.next("rules.applied");
  assert.deepEqual([state?.id, state?.state], ["http/shop.example.test", "inactive"]);
});

Deno.test("check() refuses what apply() would refuse, and takes nothing", async () => {
  await using setup = await setUpSessions();
  const [session, other] = [await joined(setup), await joined(setup)];
  await other.publisher.apply([http("taken.example.test")]);
  const { publisher } = session;
  publisher.check(http("free.example.test"));
  assert.equal(setup.state.names.ownerOf("free.example.test"), undefined);
  assert.throws(() => publisher.check(http("taken.example.test")), { kind: "NAME_TAKEN" });
  assert.throws(() => publisher.check(http("www.example.test")), { kind: "NAME_RESERVED" });
  assert.throws(() => publisher.check(tcp(22_004)), { kind: "PORT_NOT_ALLOCATED" });
  const broken = http("free.example.test", { firewall: [{ action: "drop", network: "x" }] });
  assert.throws(() => publisher.check(broken), { kind: "NETWORK_INVALID" });
});

Deno.test("a rule that is closed does not lead to the one above it, which may let everybody in (P10)", async () => {
  await using setup = await setUpSessions();
  const session = await joined(setup);
  const { hostname } = session.tunnel;
  const admin = `admin.${hostname}`;
  const closed: Partial<Rule>[] = [
    { fault: { code: "E6002", message: "The key does not belong to the certificate" } },
    { firewall: [{ action: "allow", network: "nobody" }] },
    { options: { basicAuth: [{ user: "a", hash: "broken" }] } } as Partial<Rule>,
  ];
  for (const more of closed) {
    await session.publisher.apply([http(hostname), http(admin)]);
    assert.equal((setup.router.route(admin) as { rule?: { id: string } }).rule?.id, `http/${admin}`);
    const [above, state] = await codes(session, [http(hostname), http(admin, more)]);
    assert.deepEqual([above, state?.startsWith("E")], ["active", true]);
    assert.equal(setup.router.route(admin).kind, "unknown");
    assert.equal(setup.router.route(`www.${hostname}`).kind, "found");
  }
  await session.publisher.apply([http(hostname)]);
  assert.equal(setup.router.route(admin).kind, "found", "who has no rule of its own any more");
});

Deno.test("a rule with a fault never opens, whatever is tried again, and says why", async () => {
  await using setup = await setUpSessions();
  const session = await joined(setup);
  const fault = { code: "E6002", message: "The key is readable by others" };
  const faulty = http("a.example.test", { fault });
  for (const before of [[], [http("a.example.test")]]) {
    await session.publisher.apply(before);
    const [state] = await session.publisher.apply([faulty]);
    assert.deepEqual([state?.state, state?.code, state?.message], ["inactive", fault.code, fault.message]);
    await setup.sessions.retryRefused();
    assert.equal(setup.router.route("a.example.test").kind, "unknown");
  }
});

Deno.test("what is amiss with a rule that is open is told, now and when it changes, and closes nothing", async () => {
  await using setup = await setUpSessions();
  const tunnel = await setup.enrolled();
  const peer = setup.dial(tunnel);
  await peer.join();
  const { publisher } = setup.sessions.serving(tunnel.id)!;
  const warning = { code: "E7001", message: "the CA refuses" };
  const notAfter = "2026-05-01T10:00:00.000Z";
  const [warned] = await publisher.apply([http("a.example.test", { warning, notAfter } as Partial<Rule>)]);
  const { id: _, address: __, ...told } = warned!;
  assert.deepEqual(told, { state: "active", notAfter, ...warning });
  const before = publisher.rules[0];
  const revision = before?.revision;
  const [clean, atServer] = await publisher.apply([http("a.example.test"), http("b.example.test", ENDS_AT_SERVER)]);
  assert.deepEqual([clean?.code, atServer?.code], [undefined, undefined]);
  assert.equal(publisher.rules[0]?.revision, revision, "connections to the target are kept");
  setup.faults.set("b.example.test", new CodedError("ACME_REFUSED", "not that one"));
  await setup.sessions.retryRefused();
  const applied = await peer.next("rules.applied");
  assert.equal(applied.revision, 0);
  assert.deepEqual(applied.rules.map(({ id, state, code }) => [id, state, code]), [
    ["http/b.example.test", "active", "E7001"],
  ]);
  setup.faults.clear();
  await setup.sessions.retryRefused();
  assert.equal((await peer.next("rules.applied")).rules[0]?.message, undefined);
});

Deno.test("one tunnel does not use up what the server may order of a certificate authority", async () => {
  await using setup = await setUpSessions();
  const tunnel = await setup.enrolled();
  await setup.dial(tunnel).join();
  const { publisher } = setup.sessions.serving(tunnel.id)!;
  const rules = Array.from({ length: 26 }, (_, index) => http(`n${index}.a.example.test`, ENDS_AT_SERVER));
  const states = await publisher.apply(rules);
  assert.equal(states.filter(({ state }) => state === "active").length, 25);
  assert.match(states[25]?.message ?? "", /25 certificates/);
  assert.deepEqual((await publisher.apply(rules.slice(1))).filter(({ state }) => state !== "active"), []);
});

Deno.test("a private rule has neither a public port nor a public name, and the mesh finds it", async () => {
  await using setup = await setUpSessions();
  const session = await joined(setup);
  const port = await setup.state.ports.allocate(session.tunnel, {});
  const hidden = { private: true } as Partial<Rule>;
  const states = await session.publisher.apply([
    http("a.example.test", hidden),
    { ...tcp(port), private: true, service: "redis" },
    { ...tcp(port === 22_009 ? 22_008 : 22_009), private: true },
  ]);
  assert.deepEqual(states.map(({ state, code, address }) => [code ?? state, address]), [
    ["active", undefined],
    ["active", undefined],
    ["E4007", undefined],
  ]);
  assert.equal(setup.router.route("a.example.test").kind, "unknown");
  assert.equal(setup.router.find("a.example.test")?.id, "http/a.example.test");
  assert.deepEqual([...setup.ports.keys()], []);
  assert.equal(setup.services.byPort(port), setup.services.byName("redis")[0]);
});

Deno.test("a rule that becomes private, or public, loses whoever is on it", async () => {
  await using setup = await setUpSessions();
  const session = await joined(setup);
  const port = await setup.state.ports.allocate(session.tunnel, {});
  await session.publisher.apply([tcp(port), http("a.example.test")]);
  const resets: string[] = [];
  for (const rule of session.publisher.rules) {
    rule.enter({ address: "192.0.2.1", reset: ({ kind }) => void resets.push(`${rule.id} ${kind}`) });
  }
  const hidden = { private: true } as const;
  assert.deepEqual(
    await codes(session, [{ ...tcp(port), ...hidden }, http("a.example.test", hidden as Partial<Rule>)]),
    [
      "active",
      "active",
    ],
  );
  assert.deepEqual(resets, [`tcp/${port} NO_SUCH_RULE`, "http/a.example.test NO_SUCH_RULE"]);
  assert.deepEqual([setup.ports.has(port), setup.router.route("a.example.test").kind], [false, "unknown"]);
  await session.publisher.apply([tcp(port), http("a.example.test")]);
  assert.deepEqual([setup.ports.has(port), setup.router.route("a.example.test").kind], [true, "found"]);
});

/** Two tunnels of different owners. */
async function twoOwners(setup: SessionSetup): Promise<[first: Session, second: Session]> {
  const first = await joined(setup);
  const { token } = await setup.state.enrolmentTokens.create({ owner: "bob" });
  const { tunnel } = await setup.state.enrol(token);
  await setup.dial(tunnel).join();
  return [first, setup.sessions.serving(tunnel.id)!];
}

Deno.test("a service name stays with the owner who came first, whether or not anybody offers it (R12)", async () => {
  await using setup = await setUpSessions();
  const [first, second] = await twoOwners(setup);
  const wiki = { service: "wiki" } as Partial<Rule>;
  assert.deepEqual(await codes(first, [http("a.example.test", wiki), http("b.example.test", wiki)]), [
    "active",
    "active",
  ]);
  assert.deepEqual(await codes(second, [http("c.example.test", wiki)]), ["E4023"]);
  assert.equal(setup.router.route("c.example.test").kind, "unknown");
  assert.throws(() => second.publisher.check(http("c.example.test", wiki)), { kind: "SERVICE_TAKEN" });
  assert.deepEqual(
    await codes(first, [http("a.example.test"), http("b.example.test", { service: "b" } as Partial<Rule>)]),
    [
      "active",
      "active",
    ],
  );
  const other = { service: "b" } as Partial<Rule>;
  assert.deepEqual(await codes(second, [http("c.example.test", wiki)]), ["E4023"], "nobody offers it now");
  assert.equal(setup.state.names.ownerOf("c.example.test"), undefined, "no domain is taken for nothing");
  assert.deepEqual(await codes(second, [http("c.example.test")]), ["active"]);
  assert.deepEqual(await codes(second, [http("c.example.test", other)]), ["E4023"], "an edit to it closes the rule");
  assert.equal(setup.router.route("c.example.test").kind, "unknown");
  await first.end(new CodedError("TUNNEL_OFFLINE"));
  assert.deepEqual(await codes(second, [http("c.example.test", wiki)]), ["E4023"], "its owner is away");
  assert.throws(() => second.publisher.check(http("c.example.test", wiki)), { kind: "SERVICE_TAKEN" });
});

Deno.test("a service name that the operator takes is withdrawn, and goes to the rule that waited for it", async () => {
  await using setup = await setUpSessions();
  const [first, second] = await twoOwners(setup);
  const wiki = { service: "wiki" } as Partial<Rule>;
  await first.publisher.apply([http("a.example.test", wiki), http("b.example.test")]);
  await second.publisher.apply([http("c.example.test", wiki)]);
  const operator = await setup.another();
  assert.equal(await operator.serviceNames.release("wiki"), first.tunnel.owner);
  // Its turn comes behind theirs.
  await setup.sessions.refreshService("wiki", first.tunnel.owner);
  assert.deepEqual(first.publisher.states.map(({ code, state }) => code ?? state), ["E4024", "active"]);
  assert.deepEqual(second.publisher.states.map(({ state }) => state), ["active"]);
  assert.deepEqual(setup.services.byName("wiki").map(({ id }) => id), ["http/c.example.test"]);
  assert.deepEqual(await codes(first, [http("a.example.test", wiki)]), ["E4023"]);
});

Deno.test("a service name that the operator has made free is its former owner's again when they offer it once more", async () => {
  await using setup = await setUpSessions();
  const session = await joined(setup);
  const rule = http("a.example.test", { service: "wiki" } as Partial<Rule>);
  await session.publisher.apply([rule]);
  await setup.state.serviceNames.release("wiki");
  await setup.sessions.refreshService("wiki", session.tunnel.owner);
  assert.deepEqual(session.publisher.states.map(({ code }) => code), ["E4024"]);
  assert.match(session.publisher.states[0]?.message ?? "", /^The operator has taken the service name "wiki" away/);
  assert.deepEqual(await codes(session, [rule]), ["active"]);
});

Deno.test("of two owners who ask for a service name at once one has it", async () => {
  await using setup = await setUpSessions();
  const [first, second] = await twoOwners(setup);
  const wiki = { service: "wiki" } as Partial<Rule>;
  const answers = await Promise.all([
    codes(first, [http("a.example.test", wiki)]),
    codes(second, [http("c.example.test", wiki)]),
  ]);
  assert.deepEqual(answers.flat().sort(), ["E4023", "active"]);
  const [offered] = setup.services.byName("wiki");
  assert.equal(offered?.session.tunnel.owner, setup.state.serviceNames.list()[0]?.owner);
});

Deno.test("a rule whose session ends while its new service name is being claimed is found by none", async () => {
  await using setup = await setUpSessions();
  const session = await joined(setup);
  await session.publisher.apply([http("a.example.test")]);
  const applied = session.publisher.apply([http("a.example.test", { service: "wiki" } as Partial<Rule>)]);
  // The edit has begun, and waits for the store.
  await Promise.resolve();
  await Promise.resolve();
  await session.publisher.withdrawAll();
  assert.deepEqual((await applied).map(({ state }) => state), ["inactive"]);
  assert.deepEqual([setup.services.byName("wiki"), setup.services.all], [[], []]);
});

Deno.test("a service name that is lost between its claim and the publishing leaves the rule inactive", async () => {
  await using setup = await setUpSessions();
  const session = await joined(setup);
  const { serviceNames } = setup.state;
  const claim = serviceNames.claim.bind(serviceNames);
  serviceNames.claim = async (name, claimant) => {
    await claim(name, claimant);
    await serviceNames.release(name);
  };
  const wiki = { service: "wiki" } as Partial<Rule>;
  assert.deepEqual(await codes(session, [http("a.example.test", wiki)]), ["E4024"]);
  assert.deepEqual(await codes(session, [http("a.example.test")]), ["active"]);
  assert.deepEqual(await codes(session, [http("a.example.test", wiki)]), ["E4024"]);
  assert.deepEqual([setup.services.all, setup.router.route("a.example.test").kind], [[], "unknown"]);
});

Deno.test("a failed edit to a service name leaves no rule behind in the mesh", async () => {
  await using setup = await setUpSessions();
  const session = await joined(setup);
  const port = await setup.state.ports.allocate(session.tunnel, {});
  await session.publisher.apply([{ ...tcp(port), service: "one" }]);
  await setup.store.put("services.two", "what no version has written");
  assert.deepEqual(await codes(session, [{ ...tcp(port), service: "two" }]), ["E6001"]);
  assert.deepEqual([setup.services.byName("one"), setup.services.all, [...setup.ports.keys()]], [[], [], []]);
});

Deno.test("a name is sealed from the first rule on whose TLS ends elsewhere, published or closed, to the first that says otherwise", async () => {
  await using setup = await setUpSessions();
  const session = await joined(setup);
  const { sealedNames } = setup.state;
  const domain = "a.example.test";
  const isSealed = () => sealedNames.has(domain);
  const fault = { code: "E6002", message: "no certificate" };
  const steps: [what: string, rules: Rule[], sealed: boolean][] = [
    ["TLS may end at the server", [http(domain)], false],
    ["it ends in the client", [http(domain, { tls: "client" } as Partial<Rule>)], true],
    ["the rule is edited", [http(domain, { tls: "target" } as Partial<Rule>)], true],
    ["it ends at the server", [http(domain, ENDS_AT_SERVER)], false],
    ["the client keeps the rule closed", [http(domain, { tls: "client", fault } as Partial<Rule>)], true],
    ["a rule that is closed opens nothing", [http(domain, { fault })], true],
    ["the rule is there again", [http(domain)], false],
    ["a private rule", [http(domain, { tls: "client", private: true } as Partial<Rule>)], true],
    ["there is no rule", [], false],
    ["the first rule", [http(domain, { tls: "client" } as Partial<Rule>)], true],
  ];
  for (const [what, rules, expected] of steps) {
    await session.publisher.apply(rules);
    assert.equal(isSealed(), expected, what);
  }
  await session.end(new CodedError("SESSION_CLOSED"));
  assert.equal(isSealed(), true, "the end of the session");
  // Taken out of the configuration while nobody was connected.
  await setup.dial(session.tunnel).join();
  await setup.sessions.serving(session.tunnel.id)!.publisher.apply([http("b.example.test")]);
  assert.equal(isSealed(), false);
});

Deno.test("nobody seals a name that is another tunnel's", async () => {
  await using setup = await setUpSessions();
  const [session, other] = [await joined(setup), await joined(setup)];
  const domain = "a.example.test";
  await session.publisher.apply([http(domain)]);
  assert.deepEqual(await codes(other, [http(domain, { tls: "client" } as Partial<Rule>)]), ["E4001"]);
  assert.deepEqual(await setup.store.list("sealed_names."), []);
});
