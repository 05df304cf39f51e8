import assert from "node:assert/strict";
import { join } from "node:path";
import { runProgram } from "../cli/program.ts";
import { spokesProgram } from "../cli/spokes/program.ts";
import { memoryIo } from "../cli/testing/memory_io.ts";
import { CodedError, connect, parseDestination } from "../mod.ts";
import {
  connectTcp,
  echoTarget,
  eventually,
  httpTarget,
  spawnSpokes,
  type SpokesProcess,
  startServer,
  startTunnel,
  tcpTarget,
  tempDir,
  type TestTunnel,
  type Wire,
} from "./harness.ts";
import { offer, openDoors, portMap, tunnelOf } from "./harness/mesh.ts";

/** A server in a process of its own, with what its operator does. */
interface Operated extends AsyncDisposable {
  readonly spokes: SpokesProcess;
  /** Runs a command of `spokes` on its configuration. @throws when it fails */
  command(...args: string[]): Promise<string>;
  /** What `policy check` says with these flags. */
  check(...args: string[]): Promise<{ action: "allow" | "deny" | "depends"; reason: string }>;
  /** Replaces its `mesh:`, and waits until that is in force. */
  edit(mesh: string): Promise<void>;
  /** A client in this process, enrolled for somebody. */
  tunnel(options: { owner: string; tags?: string[] }): Promise<TestTunnel>;
}

async function operate(): Promise<Operated> {
  const spokes = await spawnSpokes();
  const text = await Deno.readTextFile(spokes.config);
  async function command(...args: string[]): Promise<string> {
    const io = memoryIo();
    const code = await runProgram(spokesProgram(io), ["--config", spokes.config, ...args], io);
    assert.equal(code, 0, io.err.join("\n"));
    return io.out.join("\n");
  }
  async function check(...args: string[]) {
    const io = memoryIo();
    await runProgram(spokesProgram(io), ["--config", spokes.config, "policy", "check", "--json", ...args], io);
    return JSON.parse(io.out.join("\n"));
  }
  return {
    spokes,
    command,
    check,
    async edit(mesh) {
      const from = spokes.log.entries.length;
      await Deno.writeTextFile(spokes.config, `${text}mesh: ${mesh}\n`);
      await spokes.log.waitFor("mesh updated", {}, { from });
    },
    async tunnel({ owner, tags = [] }) {
      const options = ["--owner", owner, ...tags.flatMap((tag) => ["--tag", tag])];
      const { invite } = JSON.parse(await command("token", "create", "--json", ...options));
      return await tunnelOf({ invite: () => invite }, { owner });
    },
    [Symbol.asyncDispose]: () => spokes[Symbol.asyncDispose](),
  };
}

/** Whether bytes go there and back. */
async function answers(wire: Wire): Promise<boolean> {
  await wire.send("ping");
  return await wire.readUntil("ping") === "ping";
}

/** What comes of an attempt to connect: `allow`, or the code of the refusal. */
async function attempt({ tunnel }: TestTunnel, to: string): Promise<string> {
  try {
    (await tunnel.connect(parseDestination(to))).reset();
    return "allow";
  } catch (error) {
    return error instanceof CodedError ? error.code : String(error);
  }
}

Deno.test("the policy is live: owners are apart, an edit lets in, another cuts what runs and nothing else", async () => {
  await using echo = await echoTarget();
  await using operated = await operate();
  await using there = await operated.tunnel({ owner: "alice" });
  await using mate = await operated.tunnel({ owner: "alice" });
  await using stranger = await operated.tunnel({ owner: "bob" });
  await offer(there, { echo: echo.address });
  const [near = 0] = await openDoors(mate, portMap("echo:7"));
  const [far = 0] = await openDoors(stranger, portMap("echo:7"));
  const check = async ({ hostname }: TestTunnel) => {
    const to = ["--to", "echo:7", "--by", there.hostname];
    return (await operated.check("--from", hostname, ...to)).action;
  };
  await using ours = await connectTcp(near);
  assert.ok(await answers(ours));
  await using refused = await connectTcp(far);
  assert.equal((await refused.readToEnd()).end, "reset");
  assert.deepEqual([await check(mate), await check(stranger)], ["allow", "deny"]);

  await operated.edit(`{ policy: [{ from: ["owner:bob"], to: ["service:echo"], action: allow }] }`);
  await using theirs = await connectTcp(far);
  assert.ok(await answers(theirs));
  assert.deepEqual([await check(mate), await check(stranger)], ["allow", "allow"]);
  const listed = async () =>
    (await stranger.tunnel.request("service.list", {})).services.filter(({ owner }) => owner === "alice");
  const [{ name, tunnel } = { name: "" }, ...more] = await listed();
  assert.deepEqual([name, tunnel, more], ["echo", there.tunnel.name, []]);

  // A fault changes nothing.
  const from = operated.spokes.log.entries.length;
  await Deno.writeTextFile(
    operated.spokes.config,
    (await Deno.readTextFile(operated.spokes.config)).replace("bob", " "),
  );
  await operated.spokes.log.waitFor("configuration not applied", {}, { from });
  assert.ok(await answers(theirs));

  await operated.edit("{}");
  assert.equal((await theirs.readToEnd()).end, "reset");
  assert.ok(await answers(ours));
  await using again = await connectTcp(far);
  assert.equal((await again.readToEnd()).end, "reset");
  assert.deepEqual([await check(mate), await check(stranger)], ["allow", "deny"]);
  assert.deepEqual(await listed(), []);

  await operated.edit("off");
  assert.equal((await ours.readToEnd()).end, "reset");
  assert.equal(await attempt(mate, "echo:7"), "E4022");
  await operated.edit("{}");
  await using back = await connectTcp(near);
  assert.ok(await answers(back));
});

Deno.test("a tunnel that is removed loses its streams at once, also those of a session that only uses; others go on", async () => {
  await using echo = await echoTarget();
  await using operated = await operate();
  await using there = await operated.tunnel({ owner: "alice" });
  await using gone = await operated.tunnel({ owner: "alice" });
  await using other = await operated.tunnel({ owner: "alice" });
  await offer(there, { echo: echo.address });
  const [near = 0] = await openDoors(gone, portMap("echo:7"));
  const [far = 0] = await openDoors(other, portMap("echo:7"));
  await using cut = await connectTcp(near);
  await using kept = await connectTcp(far);
  assert.ok(await answers(cut) && await answers(kept));
  const { token } = gone.identity;
  // As `pktriot connect` does it beside a running `start`.
  await using using = await connect({ ...gone.address, token, role: "use" });
  const stream = await using.connect(parseDestination("echo:7"));
  await stream.write(new TextEncoder().encode("x"));
  assert.ok(await stream.read());
  const left = assert.rejects(async () => await stream.read());
  await operated.command("tunnel", "rm", gone.hostname);
  assert.equal((await cut.readToEnd()).end, "reset");
  await left;
  assert.equal((await gone.tunnel.closed)?.kind, "REVOKED");
  assert.ok(await answers(kept));
  await eventually(() => echo.open === 1, "its connections to the service to end");
});

/** Lines of a policy whose order matters, and hosts outside. */
const MESH = `
  allow: ["127.0.0.0/8", "0.0.0.0/0"]
  policy:
    - { from: [tag:ci], to: [service:echo], action: allow }
    - { from: ["*"], to: ["cidr:127.0.0.3/32", "port:7000-7999"], action: deny }
    - { from: [owner:carol], to: ["host:wiki.tunnels.localhost", owner:carol], action: allow }
    - { from: [tag:ci], to: ["*"], action: deny }
    - { from: [owner:carol], to: [tag:db], action: deny }`;

Deno.test("what spokes policy check says is what happens", async () => {
  await using echo = await echoTarget();
  await using web = await httpTarget(() => new Response("wiki"));
  await using operated = await operate();
  await operated.edit(MESH);
  await using there = await operated.tunnel({ owner: "alice", tags: ["db"] });
  const wiki = `wiki.tunnels.localhost`;
  await offer(there, { echo: echo.address });
  const port = await there.tcp(echo.address);
  await there.http(web.address, { domain: wiki });
  await using stack = new AsyncDisposableStack();
  const from = [
    { owner: "alice" },
    { owner: "alice", tags: ["ci"] },
    { owner: "carol" },
    { owner: "carol", tags: ["db"] },
    { owner: "dave", tags: ["ci", "db"] },
  ];
  const tunnels = await Promise.all(from.map(async (each) => stack.use(await operated.tunnel(each))));
  const outcomes = new Set<string>();
  const outside = ["127.0.0.3:9", "127.0.0.4:7001", "127.0.0.5:9", "169.254.169.254:80"];
  const own = `127.0.0.1:${operated.spokes.adminPort}`;
  for (const to of ["echo:7", `x:${port}`, `${wiki}:80`, ...outside, own]) {
    for (const each of tunnels) {
      const { action, reason } = await operated.check("--from", each.hostname, "--to", to, "--by", there.hostname);
      const outcome = await attempt(each, to);
      outcomes.add(outcome);
      const isAllowed = !["E4020", "E4021"].includes(outcome);
      if (action === "depends") continue;
      assert.equal(isAllowed, action === "allow", `${each.identity.hostname} -> ${to}: ${outcome}, but ${reason}`);
    }
  }
  assert.equal((await operated.check("--from", tunnels[0]!.hostname, "--to", "service:echo")).action, "allow");
  assert.ok(outcomes.has("allow") && outcomes.has("E4020") && outcomes.has("E4021"), [...outcomes].join());
});

/** The code of what became of the only rule, which offers `db`. */
async function offerDb({ tunnel }: TestTunnel, port: number, target: string): Promise<string | undefined> {
  const [state] = await tunnel.setRules([{ kind: "tcp", port, target, service: "db" }]);
  return state?.code ?? state?.state;
}

Deno.test("a service name stays its owner's when they take the rule out; the operator gives it to the rule that waits", async () => {
  await using one = await echoTarget();
  await using two = await echoTarget();
  await using operated = await operate();
  await using first = await operated.tunnel({ owner: "alice" });
  await using second = await operated.tunnel({ owner: "bob" });
  await offer(first, { db: one.address });
  const { port } = await second.tunnel.request("port.allocate", {});
  assert.equal(await offerDb(second, port, two.address), "E4023");
  assert.equal(await attempt(second, "db:1"), "E4020");
  assert.equal(await attempt(first, "db:1"), "allow");
  await first.tunnel.setRules([]);
  assert.equal(await offerDb(second, port, two.address), "E4023", "nobody offers it now");
  assert.equal(await attempt(first, "db:1"), "E4019");
  const [{ name, owner }, ...more] = JSON.parse(await operated.command("service", "ls", "--json"));
  assert.deepEqual([name, owner, more], ["db", "alice", []]);

  const from = second.events.length;
  assert.match(await operated.command("service", "rm", "db"), /removed/);
  await eventually(() => {
    const told = second.events.slice(from).filter((event) => event.kind === "rules");
    return told.some(({ states }) => states[0]?.state === "active");
  }, "the name to be free");
  assert.deepEqual([await attempt(first, "db:1"), await attempt(second, "db:1")], ["E4020", "allow"]);
  assert.equal(two.connections.length, 1);
});

Deno.test("a restart of the server does not free a service name whose tunnel is away", async () => {
  await using target = await echoTarget();
  await using folder = await tempDir();
  const stateDir = join(folder.path, "state");
  {
    await using server = await startServer({ stateDir });
    await using first = await tunnelOf(server, { owner: "alice" });
    await offer(first, { db: target.address });
  }
  await using server = await startServer({ stateDir });
  await using second = await tunnelOf(server, { owner: "bob" });
  const { port } = await second.tunnel.request("port.allocate", {});
  assert.equal(await offerDb(second, port, target.address), "E4023");
  await using mate = await tunnelOf(server, { owner: "alice" });
  await offer(mate, { db: target.address });
  assert.equal(await attempt(mate, "db:1"), "allow");
});

Deno.test("a service that gets another name is another one to the policy: who may not reach it by that is cut", async () => {
  await using echo = await echoTarget();
  await using server = await startServer({
    mesh: { policy: [{ from: ["owner:bob"], to: ["service:public"], action: "allow" }] },
  });
  await using there = await tunnelOf(server, { owner: "alice" });
  await using mate = await tunnelOf(server, { owner: "alice" });
  await using stranger = await tunnelOf(server, { owner: "bob" });
  const { port } = await there.tunnel.request("port.allocate", {});
  const rule = { kind: "tcp", port, target: echo.address, private: true } as const;
  await there.publish([{ ...rule, service: "public" }]);
  const [near = 0] = await openDoors(mate, portMap(`x:${port}`));
  const [far = 0] = await openDoors(stranger, portMap(`x:${port}`));
  await using ours = await connectTcp(near);
  await using theirs = await connectTcp(far);
  assert.ok(await answers(ours) && await answers(theirs));
  await there.publish([{ ...rule, service: "internal" }]);
  assert.equal((await theirs.readToEnd()).end, "reset");
  assert.ok(await answers(ours));
  assert.equal(await attempt(stranger, `x:${port}`), "E4020");
});

Deno.test("tunnels of one owner share a service: new streams take turns, and go to those that are left", async () => {
  await using one = await tcpTarget((wire) => wire.send("one"));
  await using two = await tcpTarget((wire) => wire.send("two"));
  await using server = await startServer();
  await using first = await startTunnel(server);
  await using second = await startTunnel(server);
  await using here = await startTunnel(server);
  await offer(first, { db: one.address });
  await offer(second, { db: two.address });
  const [port = 0] = await openDoors(here, portMap("db:1"));
  const ask = async () => {
    await using wire = await connectTcp(port);
    return (await wire.readToEnd()).text;
  };
  assert.deepEqual([await ask(), await ask(), await ask(), await ask()].toSorted(), ["one", "one", "two", "two"]);
  await first.tunnel.stop();
  assert.deepEqual([await ask(), await ask(), await ask()], ["two", "two", "two"]);
});
