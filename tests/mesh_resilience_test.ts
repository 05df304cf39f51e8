import assert from "node:assert/strict";
import { parseDestination } from "../mod.ts";
import {
  connectTcp,
  echoTarget,
  eventually,
  fill,
  freePort,
  sha256,
  SOAK,
  spawn,
  spawnPktriot,
  spawnSpokes,
  startServer,
  startTunnel,
  type TcpTarget,
  tcpTarget,
  type TestServer,
  type TestTunnel,
  type Wire,
  within,
} from "./harness.ts";
import { offer, openDoors, portMap, portOf, proxy } from "./harness/mesh.ts";
import { commandOf, runProgram } from "./harness/processes.ts";
import { findProgram } from "../net/testing/programs.ts";

const MEBIBYTE = 1024 * 1024;
/** More than the buffers of kernel and programs on the way, and what they may hold back, can take. */
const MAX_UNREAD_BYTES = 64 * MEBIBYTE;
/** Nothing moved for so long: whoever sends is held back. */
const HELD_MS = 500;
const FOR_EVER_MS = 3_600_000;

/** A service behind one tunnel, and a local port beside another that leads to it. */
interface Mapped extends AsyncDisposable {
  readonly port: number;
  readonly server: TestServer;
  readonly there: TestTunnel;
  readonly here: TestTunnel;
}

async function mapped(target: Pick<TcpTarget, "address">): Promise<Mapped> {
  await using stack = new AsyncDisposableStack();
  const server = stack.use(await startServer());
  const there = stack.use(await startTunnel(server));
  await offer(there, { service: target.address });
  const here = stack.use(await startTunnel(server));
  const [port = 0] = await openDoors(here, portMap("service:1"));
  const all = stack.move();
  return { port, server, there, here, [Symbol.asyncDispose]: () => all.disposeAsync() };
}

/** Whether bytes go there and back. */
async function answers(wire: Wire, text: string = "ping"): Promise<boolean> {
  await wire.send(text);
  return await wire.readUntil(text) === text;
}

Deno.test("500 connections at once through one port map each get their own bytes, and leave nothing behind", async () => {
  await using echo = await echoTarget();
  await using map = await mapped(echo);
  for (let round = 0; round < (SOAK ? 5 : 2); round++) {
    const wires = await Promise.all(Array.from({ length: 500 }, () => connectTcp(map.port)));
    const all = await Promise.all(wires.map((wire, index) => answers(wire, `round ${round} number ${index};`)));
    assert.ok(all.every((each) => each));
    assert.equal(await map.server.metric("spokes_mesh_streams"), wires.length);
    await Promise.all(wires.map(async (wire) => {
      await wire.endWrite();
      assert.equal((await wire.readToEnd()).end, "end");
      await wire[Symbol.asyncDispose]();
    }));
    await eventually(async () => await map.server.metric("spokes_mesh_streams") === 0, "the streams to end");
  }
  for (const { events } of [map.here, map.there]) {
    assert.deepEqual(events.filter(({ kind }) => kind === "disconnected" || kind === "notice"), []);
  }
});

for (const direction of ["up", "down"] as const) {
  Deno.test(`who does not read holds back who sends through a port map (${direction}), nobody else, and loses nothing`, async () => {
    await using target = await tcpTarget();
    await using map = await mapped(target);
    await using program = await connectTcp(map.port);
    await program.send("x");
    const service = await target.accept();
    await service.readExactly(1);
    const [from, to] = direction === "up" ? [program, service] : [service, program];
    const block = fill(MEBIBYTE);
    let sent = 0;
    let sending: Promise<unknown>;
    for (let isHeld = false; !isHeld;) {
      assert.ok(sent < MAX_UNREAD_BYTES, `${sent} bytes were taken that nobody reads`);
      sending = from.send(block).then(() => false);
      sent += block.length;
      const held = new Promise<true>((resolve) => setTimeout(resolve, HELD_MS, true));
      isHeld = await Promise.race([sending, held]) === true;
    }
    await using quick = await connectTcp(map.port);
    await quick.send("quick");
    const other = await target.accept();
    await other.readUntil("quick");
    await other.send("quick");
    await quick.readUntil("quick");
    const [{ bytes, end }] = await Promise.all([to.readToEnd(), sending!.then(() => from.endWrite())]);
    assert.deepEqual([bytes.length, end], [sent, "end"]);
    const expected = sha256(block);
    for (let at = 0; at < sent; at += block.length) {
      assert.equal(sha256(bytes.subarray(at, at + block.length)), expected);
    }
  });
}

Deno.test("bad doors are told one by one, and the others are open", async () => {
  await using echo = await echoTarget();
  await using server = await startServer();
  await using there = await startTunnel(server);
  await offer(there, { echo: echo.address });
  await using here = await startTunnel(server);
  const map = (listen: { hostname: string; port: number }, destination = "echo:7") => ({
    ...portMap(destination),
    listen,
  });
  const states = await here.tunnel.setDoors([
    map({ hostname: "127.0.0.1", port: echo.port }),
    { ...map({ hostname: "192.0.2.77", port: 0 }), openToNetwork: true },
    map({ hostname: "0.0.0.0", port: 0 }),
    portMap("nosuch:7"),
    proxy("socks"),
    portMap("echo:7"),
  ]);
  const told = states.map(({ code, message = "" }) => `${code ?? "open"} ${message.replaceAll(/:\d+/g, ":N")}`);
  assert.deepEqual(told, [
    "E6003 Cannot open the port map 127.0.0.1:N to echo:N: Cannot listen on 127.0.0.1:N: another program uses it",
    "E6003 Cannot open the port map 192.0.2.77:N to echo:N: Cannot listen on 192.0.2.77:N: this machine has no such address",
    "E5012 Cannot open the port map 0.0.0.0:N to echo:N: Others on the network could use it without a password",
    ...["open ", "open ", "open "],
  ]);
  const [unknown, , good] = states.slice(3).map(portOf);
  await using lost = await connectTcp(unknown ?? 0);
  assert.equal((await lost.readToEnd()).end, "reset");
  const notices = here.events.filter((event) => event.kind === "notice").map(({ code, message }) =>
    `${code} ${message}`
  );
  assert.deepEqual(
    [notices.length, /^E4019 port map 127\.0\.0\.1:0 to nosuch:7: nosuch:7 is nothing/.test(notices[0] ?? "")],
    [1, true],
    notices.join("\n"),
  );
  await using program = await connectTcp(good ?? 0);
  assert.ok(await answers(program));
});

Deno.test("pktriot ports map and proxies refuse what makes no sense in one line, and write nothing", async () => {
  await using server = await startServer();
  await using client = await spawnPktriot(server);
  const before = await Deno.readTextFile(client.config);
  const map = ["ports", "map"];
  const cases: readonly (readonly [args: readonly string[], message: RegExp])[] = [
    [[...map, "0", "--destination", "a"], /0/],
    [[...map, "70000", "--destination", "a"], /70000/],
    [[...map, "x", "--destination", "a"], /"?x/],
    [[...map, "5000"], /--destination/],
    [[...map, "5000", "--destination", "127.1"], /^error E4018: .*"127\.1"/],
    [[...map, "5000", "--destination", "two words"], /^error E4018: .*"two words"/],
    [[...map, "5000", "--destination", "a", "--port", "0"], /0/],
    [[...map, "5000", "--destination", "a:99999"], /99999/],
    [[...map, "5000", "--destination", "a", "--transport", "udp"], /udp/],
    [[...map, "5000", "--destination", "a", "--bind", "0.0.0.0"], /password/],
    [[...map, "5000", "--destination", "a", "--bind", "nowhere"], /"nowhere"/],
    [[...map, "unix:relative", "--destination", "a"], /absolute path/],
    [["proxies", "socks", "listen", "1080", "--bind", "0.0.0.0"], /password|auth/],
    [["connect", "127.1:22"], /^error E4018: .*127\.1/],
  ];
  await Promise.all(cases.map(async ([args, message]) => {
    const { code, stdout, stderr } = await runProgram("pktriot", ["--config", client.config, ...args]);
    assert.ok(
      code > 0 && stdout === "" && stderr.trimEnd().split("\n").length === 1,
      `${args.join(" ")}: ${code} ${stdout}${stderr}`,
    );
    assert.match(stderr, message, args.join(" "));
  }));
  assert.equal(await Deno.readTextFile(client.config), before);
});

/** Ports below need a privilege; 0 where every user may open every port. */
const PRIVILEGED_BELOW = Number(
  await Deno.readTextFile("/proc/sys/net/ipv4/ip_unprivileged_port_start").catch(() => 0),
);

Deno.test({
  name: "a port map to a port that needs a privilege is told by its name, and the others are open",
  ignore: PRIVILEGED_BELOW < 2 || findProgram("setpriv") === undefined,
  async fn() {
    await using echo = await echoTarget();
    await using server = await startServer();
    await using there = await startTunnel(server);
    await offer(there, { echo: echo.address });
    await using client = await spawnPktriot(server);
    const port = await freePort();
    for (const [local, expected] of [[1, /^$|^warning E6003/], [port, /^$/]] as const) {
      const map = ["ports", "map", `${local}`, "--destination", "echo", "--port", "7"];
      const { code, stderr } = await runProgram("pktriot", ["--config", client.config, ...map]);
      assert.equal(code, 0, stderr);
      assert.match(stderr, expected);
    }
    await client.kill("SIGTERM");
    // Root without the privilege is a user like any other.
    const start = [Deno.execPath(), ...commandOf("pktriot", ["--config", client.config, "start"])];
    await using started = spawn("setpriv", ["--bounding-set=-net_bind_service", ...start]);
    await started.printed(/Not open: map\/127\.0\.0\.1:1: .*this user may not open the port.*\(E6003\)/);
    await using program = await connectTcp(port);
    assert.ok(await answers(program));
  },
});

Deno.test("a server without a mesh: doors are open, and a running start says for each why it leads nowhere", async () => {
  await using server = await startServer({ mesh: false });
  await using client = await spawnPktriot(server);
  const port = await freePort();
  const map = ["ports", "map", `${port}`, "--destination", "echo", "--port", "7", "--offline"];
  assert.equal((await runProgram("pktriot", ["--config", client.config, ...map])).code, 0);
  await client.log.waitFor("door open", { door: `map/127.0.0.1:${port}` });
  await using program = await connectTcp(port);
  assert.equal((await program.readToEnd()).end, "reset");
  await client.program.printed(new RegExp(`port map 127\\.0\\.0\\.1:${port} to echo:7: .*mesh`));
  assert.match(client.program.stdout + client.program.stderr, /E4022/);
  server.server.updateMesh({});
  await using later = await connectTcp(port);
  assert.equal((await later.readToEnd()).end, "reset");
  await client.program.printed(/E4019/);
});

Deno.test("a server that is started anew: doors stay open, what ran is reset, and they lead there again", async () => {
  await using echo = await echoTarget();
  await using spokes = await spawnSpokes();
  await using there = await startTunnel(spokes);
  await offer(there, { echo: echo.address });
  await using here = await startTunnel(spokes);
  const [port = 0, socks = 0] = await openDoors(here, portMap("echo:7"), proxy("socks"));
  await using running = await connectTcp(port);
  assert.ok(await answers(running));
  await spokes.kill("SIGKILL");
  assert.equal((await running.readToEnd()).end, "reset");
  await using away = await connectTcp(port);
  assert.equal((await away.readToEnd()).end, "reset");
  // Reply 3: the network is unreachable, as there is no server.
  await using refused = await connectTcp(socks);
  await refused.send("\x05\x01\x00\x05\x01\x00\x03\x04echo\x00\x07");
  assert.deepEqual([...(await refused.readExactly(4))], [5, 0, 5, 3]);
  await spokes.again();
  await eventually(async () => {
    await using wire = await connectTcp(port);
    await wire.send("again");
    await wire.endWrite();
    return (await wire.readToEnd()).text === "again";
  }, "the service to be reached again");
  assert.equal(here.events.filter(({ kind }) => kind === "doors").length, 1, "the doors were open all the time");
});

for (const signal of ["SIGKILL", "SIGSTOP"] as const) {
  Deno.test(`of two tunnels that offer a service one is gone by ${signal}: every new connection reaches the other`, async () => {
    await using echo = await echoTarget();
    await using spokes = await spawnSpokes();
    const behind = [await spawnPktriot(spokes), await spawnPktriot(spokes)] as const;
    await using gone = behind[0];
    await using _stays = behind[1];
    for (const { config, log } of behind) {
      const args = ["--config", config, "route", "tcp", "forward", "--service", "echo", "--target", `${echo.port}`];
      const { code, stdout } = await runProgram("pktriot", args);
      assert.equal(code, 0);
      // Not just any: a client without rules has its default page active from the start.
      await log.waitFor("rule active", { rule: `tcp/${/^Allocated port (\d+)$/m.exec(stdout)?.[1]}` });
    }
    await using here = await startTunnel(spokes);
    const [port = 0] = await openDoors(here, portMap("echo:7"));
    if (signal === "SIGKILL") await gone.kill(signal);
    else gone.program.kill(signal);
    for (let count = 0; count < 6; count++) {
      await using wire = await connectTcp(port);
      assert.ok(await answers(wire), `connection ${count}`);
    }
  });
}

Deno.test("who stops lets streams through the mesh end: the server, the client behind, and the one with the door", async () => {
  for (const who of ["server", "there", "here"] as const) {
    await using echo = await echoTarget();
    await using map = await mapped(echo);
    await using running = await connectTcp(map.port);
    assert.ok(await answers(running));
    const stopping = who === "server"
      ? map.server.server.stop({ graceMs: FOR_EVER_MS })
      : map[who].tunnel.stop({ graceMs: FOR_EVER_MS });
    // New ones get nowhere: at once, or as soon as those who must know know.
    await eventually(() => isRefused(map.port), `no new streams while ${who} stops`);
    for (let count = 0; count < 3; count++) assert.ok(await answers(running), who);
    await running.endWrite();
    assert.equal((await running.readToEnd()).end, "end", who);
    await within(stopping, `${who} to stop`);
  }
});

/** Whether a connection to a local port gets nowhere. */
async function isRefused(port: number): Promise<boolean> {
  try {
    await using wire = await connectTcp(port);
    await wire.send("new");
    await wire.endWrite();
    return (await wire.readToEnd()).end === "reset";
  } catch {
    return true; // Nobody listens any more.
  }
}

Deno.test("a session that only uses connects beside a running start, and each is told only of its own end", async () => {
  await using echo = await echoTarget();
  await using map = await mapped(echo);
  await using beside = await startTunnel(map.server, [], { identity: map.here.identity, role: "use" });
  const stream = await beside.tunnel.connect(parseDestination("service:1"));
  await stream.write(new TextEncoder().encode("beside"));
  assert.equal(new TextDecoder().decode((await stream.read())!), "beside");
  await using running = await connectTcp(map.port);
  assert.ok(await answers(running));
  assert.equal(await map.server.metric("spokes_mesh_streams"), 2);
  await stream.closeWrite();
  assert.equal(await stream.read(), null);
  await beside.tunnel.stop();
  assert.ok(await answers(running));
});
