import assert from "node:assert/strict";
import { connect, createChild, enrol, parseInvite, type RuleState } from "../mod.ts";
import { connectTcp, echoTarget, eventually, httpTarget, request, startServer, startTunnel } from "./harness.ts";

function outcome(states: readonly RuleState[]): string[] {
  return states.map(({ code, state }) => code ?? state);
}

Deno.test("of two tunnels that want one name the first gets it, and the other is told", async () => {
  await using one = await httpTarget(() => new Response("one"));
  await using two = await httpTarget(() => new Response("two"));
  await using server = await startServer();
  await using first = await startTunnel(server);
  await using second = await startTunnel(server);
  const domain = await first.http(one.address, { domain: `blog.${server.domain}` });
  for (const wanted of [domain, `sub.${domain}`, first.hostname, `sub.${first.hostname}`]) {
    await assert.rejects(second.tunnel.request("name.check", { domain: wanted }), { code: "E4001" }, wanted);
    const states = await second.tunnel.setRules([
      { kind: "http", domain: wanted, target: two.address },
      { kind: "http", target: two.address },
    ]);
    assert.deepEqual(outcome(states), ["E4001", "active"], wanted);
    assert.equal(states[0]?.message?.includes("belongs to another tunnel"), true);
  }
  assert.equal((await request(server.httpPort, { host: domain })).text, "one");
  assert.equal((await request(server.httpPort, { host: second.hostname })).text, "two");
  // Also while its owner is away.
  await first.tunnel.stop();
  assert.deepEqual(outcome(await second.tunnel.setRules([{ kind: "http", domain, target: two.address }])), ["E4001"]);
  assert.equal((await request(server.httpPort, { host: domain })).status, 503);
});

Deno.test("of tunnels that race for one name exactly one gets it", async () => {
  await using server = await startServer();
  await using stack = new AsyncDisposableStack();
  const tunnels = await Promise.all(Array.from({ length: 6 }, async () => stack.use(await startTunnel(server))));
  for (let round = 0; round < 5; round++) {
    const domain = `race-${round}.${server.domain}`;
    const states = await Promise.all(tunnels.map(({ tunnel }, index) => {
      return tunnel.setRules([{ kind: "http", domain, target: () => new Response(`${index}`) }]);
    }));
    const outcomes = states.map((each) => outcome(each)[0]);
    assert.deepEqual(outcomes.toSorted(), ["E4001", "E4001", "E4001", "E4001", "E4001", "active"]);
    assert.equal((await request(server.httpPort, { host: domain })).text, `${outcomes.indexOf("active")}`);
  }
});

Deno.test("a name that was released rests: its owner may take it back, others may not", async () => {
  await using server = await startServer();
  await using first = await startTunnel(server);
  await using second = await startTunnel(server);
  const domain = await first.http(() => new Response("first"), { domain: `shop.${server.domain}` });
  assert.deepEqual((await first.tunnel.request("name.list", {})).names, [first.hostname, domain].toSorted());
  await assert.rejects(second.tunnel.request("name.release", { domain }), { code: "E4004" });
  await first.tunnel.request("name.release", { domain });
  // The rule goes with the name.
  assert.equal((await request(server.httpPort, { host: domain })).status, 404);
  const rule = { kind: "http", domain, target: () => new Response("second") } as const;
  assert.deepEqual(outcome(await second.tunnel.setRules([rule])), ["E4005"]);
  await first.http(() => new Response("first again"), { domain });
  assert.equal((await request(server.httpPort, { host: domain })).text, "first again");
});

Deno.test("reserved and foreign names are refused, with the reason", async () => {
  await using server = await startServer({ hostname: "edge.tunnels.localhost" });
  await using tunnel = await startTunnel(server);
  const cases = [
    [server.domain, "E4002"],
    [`edge.${server.domain}`, "E4002"],
    [`x.edge.${server.domain}`, "E4002"],
    [`www.${server.domain}`, "E4002"],
    [`admin.${server.domain}`, "E4002"],
    [`mail.${server.domain}`, "E4002"],
    [`_acme-challenge.${server.domain}`, "E4003"],
    ["localhost", "E4002"],
    ["example.com", "E4016"],
    [`a..${server.domain}`, "E4003"],
    [`-a.${server.domain}`, "E4003"],
    ["127.0.0.1", "E4003"],
  ] as const;
  for (const [domain, code] of cases) {
    const states = await tunnel.tunnel.setRules([{ kind: "http", domain, target: () => new Response() }]);
    assert.deepEqual(outcome(states), [code], domain);
  }
});

Deno.test("names outside the domain need a grant", async () => {
  await using server = await startServer();
  const invite = await server.invite({ grants: { domains: ["example.com", "*.example.org"] } });
  await using granted = await startTunnel(server, [], { invite });
  await using plain = await startTunnel(server);
  for (const [domain, code] of [["example.com", "active"], ["a.example.org", "active"], ["b.example.com", "E4016"]]) {
    const states = await granted.tunnel.setRules([
      { kind: "http", domain: domain!, target: () => new Response(`at ${domain}`) },
    ]);
    assert.deepEqual(outcome(states), [code], domain);
    if (code !== "active") continue;
    assert.equal((await request(server.httpPort, { host: domain! })).text, `at ${domain}`);
    const foreign = await plain.tunnel.setRules([{ kind: "http", domain: domain!, target: () => new Response() }]);
    assert.notEqual(outcome(foreign)[0], "active");
  }
});

Deno.test("a port belongs to who allocated it until it is released", async () => {
  await using echo = await echoTarget();
  await using server = await startServer();
  await using first = await startTunnel(server);
  await using second = await startTunnel(server);
  const port = await first.tcp(echo.address);
  assert.deepEqual((await first.tunnel.request("port.list", {})).ports, [port]);
  const foreign = await second.tunnel.setRules([{ kind: "tcp", port, target: echo.address }]);
  assert.deepEqual(outcome(foreign), ["E4006"]);
  await assert.rejects(second.tunnel.request("port.allocate", { port }), { code: "E4006" });
  await assert.rejects(second.tunnel.request("port.release", { port }), { code: "E4006" });
  await assert.rejects(first.tunnel.request("port.allocate", { port: 1 }), { code: "E4008" });
  const free = port === 10_000 ? port + 1 : port;
  assert.deepEqual(
    await first.tunnel.request("port.allocate", { port: free }),
    { port: free },
    "what is mine is confirmed",
  );
  await using visitor = await connectTcp(port);
  await visitor.send("x");
  await visitor.readExactly(1);
  await first.tunnel.request("port.release", { port });
  assert.equal((await visitor.readToEnd()).end, "reset");
  await assert.rejects(connectTcp(port), { code: "ECONNREFUSED" });
  assert.deepEqual((await first.tunnel.request("port.list", {})).ports, []);
  const again = await first.tunnel.setRules([{ kind: "tcp", port, target: echo.address }]);
  assert.deepEqual(outcome(again), ["E4007"]);
});

Deno.test("ports run out, and one that another program uses is not given", async () => {
  await using echo = await echoTarget();
  // The range is one port, and it is taken.
  await using server = await startServer({ tcp: { from: echo.port, to: echo.port } });
  await using tunnel = await startTunnel(server);
  await assert.rejects(tunnel.tunnel.request("port.allocate", {}), { code: "E4009" });
  await assert.rejects(tunnel.tunnel.request("port.allocate", { port: echo.port }), { code: "E4010" });
});

Deno.test("a tunnel has at most the names and ports of its grants", async () => {
  await using server = await startServer();
  const invite = await server.invite({ grants: { maxNames: 2, maxPorts: 1 } });
  await using tunnel = await startTunnel(server, [], { invite });
  const states = await tunnel.tunnel.setRules(["a", "b", "c"].map((label) => (
    { kind: "http", domain: `${label}-quota.${server.domain}`, target: () => new Response() }
  )));
  assert.deepEqual(outcome(states).toSorted(), ["E4011", "active", "active"]);
  await tunnel.tunnel.request("port.allocate", {});
  await assert.rejects(tunnel.tunnel.request("port.allocate", {}), { code: "E4011" });
});

Deno.test("a one-shot has a name of its own and may use its parent's, beside the running parent", async () => {
  await using echo = await echoTarget();
  await using server = await startServer();
  await using parent = await startTunnel(server, [{ kind: "http", target: () => new Response("parent") }]);
  const port = (await parent.tunnel.request("port.allocate", {})).port;
  const child = await createChild(parent.address, parent.identity.token);
  assert.notEqual(child.hostname, parent.hostname);
  await using shot = await startTunnel(server, [], { identity: { ...child, ca: parent.identity.ca! } });
  await shot.http(() => new Response("child"));
  assert.equal((await request(server.httpPort, { host: shot.hostname })).text, "child");
  assert.equal((await request(server.httpPort, { host: parent.hostname })).text, "parent");
  await shot.tcp(echo.address, { port });
  await using visitor = await connectTcp(port);
  await visitor.send("x");
  await visitor.readExactly(1);
  // What the parent publishes itself is taken.
  const taken = await shot.tunnel.setRules([
    { kind: "http", domain: parent.hostname, target: () => new Response("stolen") },
  ]);
  assert.deepEqual(outcome(taken), ["E4001"]);
  // A child has no children, and a stranger's port is not its own.
  await assert.rejects(createChild(parent.address, child.token));
});

Deno.test("a one-shot that comes back in time has the same name", async () => {
  await using server = await startServer();
  await using parent = await startTunnel(server);
  const identity = { ...await createChild(parent.address, parent.identity.token), ca: parent.identity.ca! };
  for (let round = 0; round < 2; round++) {
    await using shot = await startTunnel(server, [], { identity });
    await shot.http(() => new Response(`round ${round}`));
    assert.equal((await request(server.httpPort, { host: identity.hostname })).text, `round ${round}`);
    await shot.tunnel.stop();
    assert.equal((await request(server.httpPort, { host: identity.hostname })).status, 503);
  }
});

Deno.test("an invite makes one tunnel, and only one that was given out counts", async () => {
  await using server = await startServer();
  const invite = parseInvite(await server.invite());
  const { token, ca } = await enrol(invite, invite.token);
  await assert.rejects(enrol(invite, invite.token), { code: "E3003" });
  await assert.rejects(enrol(invite, `${invite.token.slice(0, -1)}x`), { code: "E3001" });
  await assert.rejects(enrol({ ...invite, pin: "A".repeat(43) }, invite.token), { code: "E3004" });
  const address = { server: invite.server, ...(invite.sni && { sni: invite.sni }), ca: ca! };
  await assert.rejects(connect({ ...address, token: `${token.slice(0, -1)}x` }), { code: "E3001" });
  await assert.rejects(
    connect({ server: invite.server, token, once: true }),
    { code: "E3018" },
    "without its authority",
  );
  const expired = parseInvite(await server.invite({ expiresInMs: 1 }));
  await eventually(async () => {
    try {
      return await enrol(expired, expired.token) === undefined;
    } catch (error) {
      return (error as { code?: string }).code === "E3002";
    }
  }, "the token to expire");
});
