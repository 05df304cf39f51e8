import assert from "node:assert/strict";
import type { Rule } from "../protocol/rule.ts";
import type { RequestMethod } from "../protocol/request.ts";
import type { TxtAnswer } from "./dns.ts";
import { DomainLooks } from "./domain_looks.ts";
import { answerRequest } from "./requests.ts";
import { SILENT } from "../net/log.ts";
import { assertFails, DAY_MS, MINUTE_MS } from "./state/testing/state_setup.ts";
import { NAME_REST_MS } from "./state/names.ts";
import type { Tunnel } from "./state/tunnels.ts";
import { type Peer, type SessionSetup, setUpSessions } from "./testing/session_setup.ts";

const DOMAIN = "example.org";
const RECORD = `_spokes-challenge.${DOMAIN}`;

/** Asks for the domain and sets the record that the answer names. */
async function askAndSet(setup: SessionSetup, tunnel: Tunnel, domain = DOMAIN): Promise<void> {
  const { txt } = await setup.proofs.add(tunnel, domain);
  assert.ok(txt !== undefined);
  setup.records.set(txt.name, [...setup.records.get(txt.name) ?? [], txt.value]);
}

/** Has the tunnel prove the domain. */
async function prove(setup: SessionSetup, tunnel: Tunnel, domain = DOMAIN): Promise<void> {
  await askAndSet(setup, tunnel, domain);
  assert.equal((await setup.proofs.verify(tunnel, domain)).status, "verified");
}

function http(domain: string): Rule {
  return { kind: "http", domain, target: "127.0.0.1:80", firewall: [] };
}

/** A tunnel with a running client. */
async function running(setup: SessionSetup): Promise<{ tunnel: Tunnel; peer: Peer; publish: typeof publish }> {
  const tunnel = await setup.enrolled();
  const peer = setup.dial(tunnel);
  await peer.join();
  async function publish(...domains: string[]): Promise<string[]> {
    const states = await setup.sessions.serving(tunnel.id)!.publisher.apply(domains.map(http));
    return states.map(({ state, code }) => code ?? state);
  }
  return { tunnel, peer, publish };
}

Deno.test("add() says what to set and where to point, and the same when asked again", async () => {
  await using setup = await setUpSessions();
  const tunnel = await setup.enrolled();
  const added = await setup.proofs.add(tunnel, "Example.org.");
  const [request] = setup.state.domains.list(tunnel.id);
  assert.deepEqual(added, {
    ...{ domain: DOMAIN, status: "pending", txt: { name: RECORD, value: request?.value } },
    since: new Date(setup.clock.now).toISOString(),
    pointing: { kind: "addresses", hostname: "edge.example.test", addresses: ["192.0.2.1"] },
  });
  assert.deepEqual(await setup.proofs.add(tunnel, DOMAIN), added);
  const { pointing } = await setup.proofs.add(tunnel, `blog.${DOMAIN}`);
  assert.deepEqual(pointing, { kind: "cname", hostname: tunnel.hostname });
});

const REFUSED: readonly (readonly [string, "NAME_INVALID" | "NAME_RESERVED" | "NAME_NOT_ALLOWED"])[] = [
  ...["", "org", "*.example.org", "127.0.0.1", "[::1]", "a..org", "a b.org", "ex_ample.org", "xn--zzzzzzzz.org"].map((
    name,
  ) => [name, "NAME_INVALID"] as const),
  ["_dmarc.example.org", "NAME_INVALID"],
  ["example.test", "NAME_RESERVED"],
  ["tunnel.example.test", "NAME_RESERVED"],
  ["app.localhost", "NAME_RESERVED"],
  ["blog.example.test", "NAME_NOT_ALLOWED"],
  ["co.uk", "NAME_NOT_ALLOWED"],
  ["github.io", "NAME_NOT_ALLOWED"],
];
for (const [domain, kind] of REFUSED) {
  Deno.test(`add() refuses ${JSON.stringify(domain)} as ${kind}, and asks the DNS nothing`, async () => {
    await using setup = await setUpSessions();
    const tunnel = await setup.enrolled();
    await assertFails(setup.proofs.add(tunnel, domain), kind);
    assert.deepEqual(setup.proofs.list(tunnel), []);
  });
}

Deno.test("verify() tells what is wrong with the record until it is right", async () => {
  await using setup = await setUpSessions();
  const tunnel = await setup.enrolled();
  await assertFails(setup.proofs.verify(tunnel, DOMAIN), "DOMAIN_NOT_VERIFIED");
  const { txt } = await setup.proofs.add(tunnel, DOMAIN);
  const missing = await setup.proofs.verify(tunnel, DOMAIN);
  assert.deepEqual([missing.status, missing.reason], ["pending", `there is no TXT record at ${RECORD} yet`]);
  assert.equal(missing.checked, new Date(setup.clock.now).toISOString());
  setup.records.set(RECORD, ["v=spf1 -all"]);
  const wrong = await setup.proofs.verify(tunnel, DOMAIN);
  assert.match(wrong.reason ?? "", /is "v=spf1 -all", and not the value of this tunnel/);
  assert.deepEqual(setup.proofs.list(tunnel), [wrong]);
  setup.records.set(RECORD, ["v=spf1 -all", txt!.value]);
  assert.equal((await setup.proofs.verify(tunnel, DOMAIN)).status, "verified");
  assert.deepEqual(setup.proofs.list(tunnel).map(({ domain, status }) => [domain, status]), [[DOMAIN, "verified"]]);
  // What is verified stays: the record may go.
  setup.records.clear();
  assert.equal((await setup.proofs.verify(tunnel, DOMAIN)).status, "verified");
  assert.equal(setup.state.names.ownerOf(DOMAIN), tunnel.id);
});

Deno.test("a proven domain is the tunnel's with all that is below it, and no other's", async () => {
  await using setup = await setUpSessions();
  const [owner, other] = [await running(setup), await running(setup)];
  const wanted = [DOMAIN, `blog.${DOMAIN}`, `a.b.${DOMAIN}`];
  assert.deepEqual(await owner.publish(...wanted), ["E4016", "E4016", "E4016"]);
  await prove(setup, owner.tunnel);
  assert.deepEqual(await owner.publish(...wanted, `not${DOMAIN}`), ["active", "active", "active", "E4016"]);
  assert.deepEqual(await other.publish(...wanted), ["E4001", "E4001", "E4001"]);
  // One name of the quota, whatever is published below it.
  assert.deepEqual(setup.state.names.listOf(owner.tunnel.id), [owner.tunnel.hostname, DOMAIN].toSorted());
  const { tunnel: child } = await setup.state.tunnels.createTemporary(owner.tunnel);
  assert.equal(setup.state.names.mayUse(child, `blog.${DOMAIN}`), true);
});

Deno.test("of two tunnels that want one domain the first to prove it gets it, and the other learns no more than that", async () => {
  await using setup = await setUpSessions();
  const [first, second] = [await running(setup), await running(setup)];
  await askAndSet(setup, second.tunnel);
  await askAndSet(setup, first.tunnel);
  assert.equal((await setup.proofs.verify(first.tunnel, DOMAIN)).status, "verified");
  const told = await second.peer.next("notice");
  assert.deepEqual([told.code, told.message], ["domain.taken", `"${DOMAIN}" belongs to another tunnel`]);
  await setup.looks.tick();
  for (const refused of [setup.proofs.verify(second.tunnel, DOMAIN), setup.proofs.add(second.tunnel, DOMAIN)]) {
    await assert.rejects(refused, { kind: "NAME_TAKEN", message: `"${DOMAIN}" belongs to another tunnel` });
  }
  const [state] = setup.proofs.list(second.tunnel);
  assert.deepEqual([state?.status, state?.reason], ["taken", `"${DOMAIN}" belongs to another tunnel`]);
  const { id, name, hostname, owner } = first.tunnel;
  for (const secret of [id, name, hostname]) assert.ok(!JSON.stringify([told, state]).includes(secret), secret);
  assert.equal(owner, second.tunnel.owner, "so the owner's name would tell nothing");
  assert.equal(setup.state.names.ownerOf(DOMAIN), first.tunnel.id);
});

Deno.test("of many proofs at the same time exactly one gets the domain", async () => {
  await using setup = await setUpSessions();
  const tunnels = await Promise.all(Array.from({ length: 8 }, () => setup.enrolled()));
  for (const tunnel of tunnels) await askAndSet(setup, tunnel);
  const settled = await Promise.allSettled(tunnels.map((tunnel) => setup.proofs.verify(tunnel, DOMAIN)));
  const verified = settled.flatMap((each, index) =>
    each.status === "fulfilled" && each.value.status === "verified" ? [tunnels[index]!.id] : []
  );
  assert.deepEqual(verified, [setup.state.names.ownerOf(DOMAIN)]);
});

Deno.test("a tunnel can neither look at, verify nor remove what another one asked for or has", async () => {
  await using setup = await setUpSessions();
  const [owner, thief] = [await running(setup), await running(setup)];
  await askAndSet(setup, owner.tunnel, "pending.org");
  await prove(setup, owner.tunnel);
  const before = JSON.stringify(setup.proofs.list(owner.tunnel));
  const session = setup.sessions.serving(thief.tunnel.id)!;
  async function ask(method: RequestMethod, params: unknown): Promise<unknown> {
    const context = {
      session,
      sessions: setup.sessions,
      state: setup.state,
      proofs: setup.proofs,
      mesh: { services: () => ({ services: [] }), check: () => {} },
      log: SILENT,
    };
    const answer = await answerRequest({ kind: "request", id: 1, method, params }, context);
    return "error" in answer ? answer.error.code : answer.result;
  }
  assert.deepEqual(await ask("domain.list", {}), { domains: [] });
  for (const domain of ["pending.org", "never-heard-of.org"]) {
    // No difference between what another tunnel waits for and what nobody does.
    assert.equal(await ask("domain.verify", { domain }), "E4016", domain);
    assert.equal(await ask("domain.remove", { domain }), "E4016", domain);
  }
  assert.equal(await ask("domain.verify", { domain: DOMAIN }), "E4001");
  assert.equal(await ask("domain.remove", { domain: DOMAIN }), "E4016");
  assert.equal(await ask("name.release", { domain: DOMAIN }), "E4004");
  assert.equal(JSON.stringify(setup.proofs.list(owner.tunnel)), before);
});

Deno.test("rules that wait for a domain become active when it is verified, and the client is told", async () => {
  await using setup = await setUpSessions();
  const { tunnel, peer, publish } = await running(setup);
  const blog = `blog.${DOMAIN}`;
  assert.deepEqual(await publish(blog, "free.example.test", "other.org"), ["E4016", "active", "E4016"]);
  await askAndSet(setup, tunnel);
  await setup.looks.tick();
  const notice = await peer.next("notice");
  assert.deepEqual([notice.level, notice.code], ["info", "domain.verified"]);
  assert.match(notice.message, /example\.org is verified/);
  const { revision, rules } = await peer.next("rules.applied");
  assert.deepEqual([revision, rules.map(({ id, state }) => [id, state])], [0, [[`http/${blog}`, "active"]]]);
  assert.equal(setup.router.route(blog).kind, "found");
});

Deno.test("a domain that is given up takes its rules with it, and brings them back when it is verified again", async () => {
  await using setup = await setUpSessions();
  const { tunnel, peer, publish } = await running(setup);
  const blog = `blog.${DOMAIN}`;
  await prove(setup, tunnel);
  assert.deepEqual(await publish(blog, tunnel.hostname), ["active", "active"]);
  await setup.proofs.remove(tunnel, DOMAIN);
  const { rules: [lost] } = await peer.next("rules.applied");
  assert.deepEqual([lost?.id, lost?.state, lost?.code], [`http/${blog}`, "inactive", "E4016"]);
  assert.equal(setup.router.route(blog).kind, "unknown");
  assert.equal(setup.router.route(tunnel.hostname).kind, "found");
  assert.deepEqual(setup.proofs.list(tunnel), []);
  setup.records.clear();
  await prove(setup, tunnel);
  assert.equal((await peer.next("rules.applied")).rules[0]?.state, "active");
});

Deno.test("a released domain rests for whoever has only a grant, and not for who proves it", async () => {
  await using setup = await setUpSessions();
  const [first, second] = [await setup.enrolled(), await setup.enrolled()];
  const { token } = await setup.state.enrolmentTokens.create({ grants: { domains: [DOMAIN] } });
  const { tunnel: granted } = await setup.state.enrol(token);
  await prove(setup, first);
  await setup.proofs.remove(first, DOMAIN);
  await assertFails(setup.state.names.claim(granted, DOMAIN), "NAME_RESTING");
  await prove(setup, second);
  assert.equal(setup.state.names.ownerOf(DOMAIN), second.id);
  setup.clock.now += NAME_REST_MS;
  await assertFails(setup.state.names.claim(granted, DOMAIN), "NAME_TAKEN");
});

Deno.test("the nearest proof decides: a domain below another's is its prover's, and nothing else is", async () => {
  await using setup = await setUpSessions();
  const [company, department] = [await running(setup), await running(setup)];
  const shop = `shop.${DOMAIN}`;
  await prove(setup, company.tunnel);
  assert.deepEqual(await company.publish(shop, `www.${DOMAIN}`), ["active", "active"]);
  assert.deepEqual(await department.publish(`a.${shop}`, shop), ["E4001", "E4001"]);
  await prove(setup, department.tunnel, shop);
  const lost = await company.peer.next("rules.applied");
  assert.deepEqual(lost.rules.map(({ id, code }) => [id, code]), [[`http/${shop}`, "E4001"]]);
  const won = await department.peer.next("rules.applied");
  assert.deepEqual(won.rules.map(({ state }) => state), ["active", "active"]);
  const { names } = setup.state;
  assert.equal(names.ownerOf(`x.a.${shop}`), department.tunnel.id);
  assert.equal(names.ownerOf(`www.${DOMAIN}`), company.tunnel.id);
  // The one above is no help against it, and gets the name back when it is given up.
  assert.deepEqual(await company.publish(shop), ["E4001"]);
  await setup.proofs.remove(department.tunnel, shop);
  const back = await company.peer.next("rules.applied");
  assert.deepEqual(back.rules.map(({ id, state }) => [id, state]), [[`http/${shop}`, "active"]]);
});

Deno.test("a proof covers neither what the server has itself nor what another tunnel was granted before", async () => {
  await using setup = await setUpSessions();
  const tunnel = await setup.enrolled();
  const { token } = await setup.state.enrolmentTokens.create({ grants: { domains: [`*.${DOMAIN}`] } });
  const { tunnel: granted } = await setup.state.enrol(token);
  const { names } = setup.state;
  await names.claim(granted, `blog.${DOMAIN}`);
  await prove(setup, tunnel);
  assert.equal(names.ownerOf(`blog.${DOMAIN}`), granted.id);
  assert.equal(names.ownerOf(`a.blog.${DOMAIN}`), tunnel.id, "a grant covers one name");
  // What was not taken before is not for the grant to give any more.
  await assertFails(names.claim(granted, `news.${DOMAIN}`), "NAME_TAKEN");
  await assertFails(names.claim(tunnel, `_acme-challenge.${DOMAIN}`), "NAME_RESERVED");
});

Deno.test("the quota of names counts a domain, and the reason is told until there is room", async () => {
  await using setup = await setUpSessions();
  const { token } = await setup.state.enrolmentTokens.create({ grants: { maxNames: 1 } });
  const { tunnel } = await setup.state.enrol(token);
  await setup.state.names.claim(tunnel, "one.example.test");
  await askAndSet(setup, tunnel);
  const { status, reason } = await setup.proofs.verify(tunnel, DOMAIN);
  assert.equal(status, "pending");
  assert.match(reason ?? "", /may own 1 names/);
  await setup.state.names.release(tunnel, "one.example.test");
  assert.equal((await setup.proofs.verify(tunnel, DOMAIN)).status, "verified");
});

Deno.test("the server looks every minute for an hour, then every 10 minutes, and gives up after 7 days", async () => {
  await using setup = await setUpSessions();
  const { tunnel, peer } = await running(setup);
  const start = setup.clock.now;
  await setup.proofs.add(tunnel, DOMAIN);
  const looked: number[] = [];
  for (let minute = 0; minute <= 90; minute++) {
    setup.clock.now = start + minute * MINUTE_MS;
    const before = setup.proofs.list(tunnel)[0]?.checked;
    await setup.looks.tick();
    if (setup.proofs.list(tunnel)[0]?.checked !== before) looked.push(minute);
  }
  assert.deepEqual(looked, [...Array.from({ length: 60 }, (_, minute) => minute), 69, 79, 89]);
  setup.clock.now = start + 7 * DAY_MS;
  const { txt } = await setup.proofs.list(tunnel)[0]!;
  setup.records.set(RECORD, [txt!.value]);
  await setup.looks.tick();
  assert.equal((await peer.next("notice")).code, "domain.expired");
  assert.equal(setup.proofs.list(tunnel)[0]?.status, "expired");
  // Until somebody asks again.
  assert.equal((await setup.proofs.verify(tunnel, DOMAIN)).status, "verified");
});

Deno.test("a request that is removed while its record is looked for makes nobody an owner", async () => {
  await using setup = await setUpSessions();
  const tunnel = await setup.enrolled();
  const { txt } = await setup.proofs.add(tunnel, DOMAIN);
  const answer = Promise.withResolvers<TxtAnswer[]>();
  await using looks = new DomainLooks({
    ...{ state: setup.state, log: SILENT, tell() {} },
    dns: { txt: () => answer.promise, addresses: () => Promise.resolve([]) },
  });
  const looking = looks.tick();
  await setup.proofs.remove(tunnel, DOMAIN);
  answer.resolve([{ resolver: "slow", records: [txt!.value] }]);
  await looking;
  assert.equal(setup.state.names.ownerOf(DOMAIN), undefined);
});

Deno.test("domains and requests survive a restart", async () => {
  await using setup = await setUpSessions();
  const tunnel = await setup.enrolled();
  await prove(setup, tunnel);
  await setup.proofs.add(tunnel, "later.org");
  const again = await setup.another();
  assert.equal(again.names.ownerOf(`blog.${DOMAIN}`), tunnel.id);
  assert.equal(again.names.isProven(DOMAIN), true);
  assert.deepEqual(again.domains.list(), setup.state.domains.list());
});

Deno.test("at most 8 records are looked for at once, and one tunnel asks for at most 4 of them", async () => {
  await using setup = await setUpSessions();
  const tunnel = await setup.enrolled();
  for (let index = 0; index < 20; index++) await setup.proofs.add(tunnel, `d${index}.org`);
  const open: (() => void)[] = [];
  let most = 0;
  let asked = 0;
  await using looks = new DomainLooks({
    ...{ state: setup.state, log: SILENT, tell() {} },
    dns: {
      txt(): Promise<TxtAnswer[]> {
        asked++;
        return new Promise((resolve) => {
          open.push(() => resolve([]));
          most = Math.max(most, open.length);
        });
      },
      addresses: () => Promise.resolve([]),
    },
  });
  const requests = setup.state.domains.list(tunnel.id);
  const four = requests.slice(0, 4).map((request) => looks.lookNow(request));
  await assertFails(looks.lookNow(requests[4]!), "LIMIT_EXCEEDED");
  // What is looked for already is no further question.
  const joined = looks.lookNow(requests[0]!);
  assert.equal(asked, 4);
  for (const answer of open.splice(0)) answer();
  await Promise.all([...four, joined]);
  const ticking = looks.tick();
  assert.equal(looks.tick(), ticking, "a slow round is not overtaken by the next one");
  let done = false;
  const finished = ticking.then(() => done = true);
  while (!done) {
    for (const answer of open.splice(0)) answer();
    await new Promise((resolve) => setTimeout(resolve, 0));
  }
  await finished;
  assert.deepEqual([most, asked], [8, 20]);
});

Deno.test("a tunnel and its one-shots ask for 120 looks in a minute, whatever they ask for", async () => {
  await using setup = await setUpSessions();
  const tunnel = await setup.enrolled();
  const child = await setup.state.tunnels.createTemporary(tunnel, {});
  const another = await setup.enrolled();
  for (let asked = 0; asked < 120; asked++) {
    const by = asked % 2 === 0 ? tunnel : child.tunnel;
    const domain = `d${asked}.example.org`;
    await setup.proofs.add(by, domain);
    await setup.proofs.verify(by, domain);
    await setup.proofs.remove(by, domain);
  }
  for (const by of [tunnel, child.tunnel]) {
    await setup.proofs.add(by, DOMAIN);
    await assertFails(setup.proofs.verify(by, DOMAIN), "LIMIT_EXCEEDED");
  }
  await setup.proofs.add(another, DOMAIN);
  assert.equal((await setup.proofs.verify(another, DOMAIN)).status, "pending");
  setup.clock.now += MINUTE_MS;
  assert.equal((await setup.proofs.verify(tunnel, DOMAIN)).status, "pending");
});

Deno.test("the end of the server ends what is being looked for", async () => {
  await using setup = await setUpSessions();
  const tunnel = await setup.enrolled();
  await setup.proofs.add(tunnel, DOMAIN);
  const looks = new DomainLooks({
    ...{ state: setup.state, log: SILENT, tell() {} },
    dns: {
      txt: (_name, signal) => new Promise((resolve) => signal.addEventListener("abort", () => resolve([]))),
      addresses: () => Promise.resolve([]),
    },
  });
  const ticking = looks.tick();
  await looks[Symbol.asyncDispose]();
  await ticking;
  assert.equal(looks.last(setup.state.domains.list()[0]!), undefined);
});
