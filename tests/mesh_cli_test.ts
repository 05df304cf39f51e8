import assert from "node:assert/strict";
import { userInfo } from "node:os";
import { join } from "node:path";
import {
  connectTcp,
  echoTarget,
  fill,
  freePort,
  httpTarget,
  type PktriotProcess,
  programTest,
  run,
  sha256,
  spawn,
  type Spawned,
  spawnPktriot,
  spawnSpokes,
  startServer,
  startTunnel,
  type TcpTarget,
  tcpTarget,
  tempDir,
  type TestTunnel,
  within,
} from "./harness.ts";
import { commandOf, runProgram } from "./harness/processes.ts";
import { linkProxy } from "./harness/link_proxy.ts";
import { startSshd } from "./harness/sshd.ts";

const MEBIBYTE = 1024 * 1024;

type At = Pick<PktriotProcess, "config">;

/** Runs a command on a client's configuration; it must be done. */
async function pktriot({ config }: At, ...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await runProgram("pktriot", ["--config", config, ...args]);
  assert.equal(code, 0, `${args.join(" ")}: ${stdout}${stderr}`);
  return stdout;
}

/** The same for a command that must fail: its one line. */
async function refused({ config }: At, ...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await runProgram("pktriot", ["--config", config, ...args]);
  assert.deepEqual([code, stdout, stderr.trimEnd().split("\n").length], [1, "", 1], `${args.join(" ")}: ${stderr}`);
  return stderr;
}

/** `pktriot connect`, whose input a test writes as it goes. */
function spawnConnect({ config }: At, destination: string): Spawned {
  return spawn(Deno.execPath(), commandOf("pktriot", ["--config", config, "connect", destination]), { stdin: true });
}

/** Waits until a running client lets programs in at a port of its machine. */
async function whenOpen(client: PktriotProcess, port: number): Promise<void> {
  await client.log.waitFor("door open", { door: `map/127.0.0.1:${port}` });
}

/** Publishes services, each at a port of its own. */
async function offer({ tunnel, publish }: TestTunnel, services: Record<string, string>): Promise<void> {
  const rules = await Promise.all(
    Object.entries(services).map(async ([service, target]) => {
      const { port } = await tunnel.request("port.allocate", {});
      return { kind: "tcp", port, target, service } as const;
    }),
  );
  await publish(rules);
}

Deno.test("one command on each side: a private service of one tunnel is a local port beside another", async () => {
  await using echo = await echoTarget();
  await using spokes = await spawnSpokes();
  await using there = await spawnPktriot(spokes);
  await using here = await spawnPktriot(spokes);
  const forward = ["route", "tcp", "forward", "--service", "echo", "--target", `${echo.port}`, "--private"];
  assert.match(await pktriot(there, ...forward), /^Allocated port \d+\nTCP traffic rule added\necho in the mesh -> /);
  const [{ port }] = JSON.parse(await pktriot(there, "route", "tcp", "ls", "--json"));
  await there.log.waitFor("rule active", { rule: `tcp/${port}` });
  const local = await freePort();
  assert.match(
    await pktriot(here, "ports", "map", `${local}`, "--transport", "tcp", "--destination", "echo", "--port", "7"),
    /^Added port mapping\n127\.0\.0\.1:\d+ -> echo:7\n$/,
  );
  await whenOpen(here, local);
  await assert.rejects(connectTcp(port), "it has no public port");
  await using program = await connectTcp(local);
  await program.send("hello");
  await program.endWrite();
  assert.equal((await program.readToEnd()).text, "hello");

  const listed = JSON.parse(await pktriot(here, "services", "--json"));
  const { name, kind, owner, tunnel, online } = listed.find((each: { name: string }) => each.name === "echo");
  assert.deepEqual([name, kind, owner, online], ["echo", "tcp", "default", true]);
  assert.ok(there.hostname.startsWith(tunnel));
  assert.match(await pktriot(here, "services"), /\| Name +\| Kind \| Owner +\| Tunnel +\| Port +\| Online \|/);
  const shown = await pktriot(here, "info");
  assert.match(shown, new RegExp(`Port maps:\\n[^]*\\| ${local} +\\| tcp +\\| echo \\| 7 `));

  assert.equal(await pktriot(here, "ports", "rm", `${local}`), "Removed port mapping\n");
  await here.log.waitFor("door closed", { door: `map/127.0.0.1:${local}` });
  await assert.rejects(connectTcp(local));
});

Deno.test("one port map that cannot be opened is told by its name, and the others go on", async () => {
  await using echo = await echoTarget();
  await using server = await startServer();
  await using there = await startTunnel(server);
  const port = await there.tcp(echo.address);
  await using here = await spawnPktriot(server);
  const [good, bad] = [await freePort(), echo.port];
  await pktriot(here, "ports", "map", `${good}`, "--destination", "echo", "--port", `${port}`);
  await whenOpen(here, good);
  await using program = await connectTcp(good);
  await program.send("before");
  await program.readExactly(6);
  await pktriot(here, "ports", "map", `${bad}`, "--destination", "echo", "--port", `${port}`);
  const { fields } = await here.log.waitFor("door not open", { door: `map/127.0.0.1:${bad}` });
  assert.deepEqual([fields.code, /port map 127\.0\.0\.1:\d+ to echo:\d+/.test(`${fields.reason}`)], ["E6003", true]);
  await program.send("after");
  assert.equal(new TextDecoder().decode(await program.readExactly(5)), "after");
  // And `start` with it shows the table and what is amiss.
  await here.again();
  await here.program.printed(/Port maps:\n[^]*Not open: map\/127\.0\.0\.1:\d+: .*\(E6003\)/);
  await using again = await connectTcp(good);
  await again.send("x");
  await again.readExactly(1);
});

Deno.test("a port map that the policy refuses is not written; one to what is offline is, with a warning", async () => {
  await using echo = await echoTarget();
  await using server = await startServer({
    mesh: { allow: ["db.srv.local"], policy: [{ from: ["*"], to: ["host:db.srv.local"], action: "deny" }] },
  });
  await using there = await startTunnel(server);
  await there.tunnel.setRules([{ kind: "http", target: echo.address, service: "web" }]);
  await using here = await spawnPktriot(server);
  const before = await Deno.readTextFile(here.config);
  const map = ["ports", "map", `${await freePort()}`, "--destination"];
  assert.match(await refused(here, ...map, "db.srv.local"), /^error E4020: .*db\.srv\.local/);
  assert.equal(await Deno.readTextFile(here.config), before);
  const { code, stderr } = await runProgram("pktriot", ["--config", here.config, ...map, "nosuch"]);
  assert.equal(code, 0);
  assert.match(stderr, /^warning E4019: nosuch:/);
  assert.match(await refused(here, "connect", "nosuch"), /^error E4019: Nothing named "nosuch"/);
  assert.match(await refused(here, "connect", "db.srv.local:1"), /^error E4020: /);
  await using off = await startServer({ mesh: false });
  await using alone = await spawnPktriot(off);
  for (const command of [[...map, "a"], ["connect", "a"], ["connect", "a:1"], ["services"]]) {
    assert.match(await refused(alone, ...command), /^error E4022: /);
  }
});

/** A target that says something, ends, and then takes what comes. */
async function earlyTarget(): Promise<TcpTarget & { heard: Promise<string> }> {
  const heard = Promise.withResolvers<string>();
  const target = await tcpTarget(async (wire) => {
    await wire.send("bye");
    await wire.endWrite();
    heard.resolve((await wire.readToEnd()).text);
  });
  return Object.assign(target, { heard: heard.promise });
}

Deno.test("connect carries binary data both ways, and either side may end first", async () => {
  await using mirror = await tcpTarget(async (wire) => wire.send((await wire.readToEnd()).bytes));
  await using early = await earlyTarget();
  await using server = await startServer();
  await using there = await startTunnel(server);
  await offer(there, { mirror: mirror.address, early: early.address });
  await using here = await spawnPktriot(server);

  const bytes = fill(8 * MEBIBYTE);
  const whole = await runProgram("pktriot", ["--config", here.config, "connect", "mirror"], { stdin: bytes });
  assert.deepEqual([whole.code, whole.stderr, sha256(whole.bytes)], [0, "", sha256(bytes)]);

  await using first = spawnConnect(here, "early:1234");
  await first.printed(/bye/);
  await first.write("late");
  await first.write("r");
  await first.endInput();
  const { code, stdout, stderr } = await within(first.finished, "connect to end");
  assert.deepEqual([code, stdout, stderr], [0, "bye", ""]);
  assert.equal(await early.heard, "later");

  // Whoever says nothing more does not keep it for ever: it is how ssh learns that its server is gone.
  await using silent = spawnConnect(here, "early");
  assert.deepEqual([(await within(silent.finished, "connect to end")).code, silent.stdout], [0, "bye"]);
});

Deno.test("connect says why it failed in one line: refused, reset, nobody reads, stopped", async () => {
  await using resets = await tcpTarget(async (wire) => {
    await wire.read();
    wire.reset();
  });
  await using endless = await tcpTarget(async (wire) => {
    for (const bytes = fill(MEBIBYTE / 4);;) await wire.send(bytes);
  });
  await using idle = await tcpTarget();
  await using server = await startServer();
  await using there = await startTunnel(server);
  const refusing = `127.0.0.1:${await freePort()}`;
  await offer(there, { resets: resets.address, endless: endless.address, idle: idle.address, refusing });
  await using here = await spawnPktriot(server);
  assert.match(await refused(here, "connect", "refusing"), /^error E2001: /);

  await using cut = spawnConnect(here, "resets");
  await cut.write("x");
  const { code, stdout, stderr } = await within(cut.finished, "connect to end");
  assert.deepEqual([code, stdout, stderr.trimEnd().split("\n").length], [1, "", 1], stderr);
  assert.match(stderr, /^error E2011: /);

  const command = [Deno.execPath(), ...commandOf("pktriot", ["--config", here.config, "connect", "endless"])];
  const piped = await run("sh", ["-c", `"$@" | head -c 100 | wc -c`, "sh", ...command]);
  assert.match(piped.stdout, /^\s*100\n$/);
  assert.match(piped.stderr, /^error E2011: Nobody reads standard output any more\. .*\n$/);

  for (const signal of ["SIGINT", "SIGTERM"] as const) {
    await using stopped = spawnConnect(here, "idle");
    const wire = await idle.accept();
    stopped.kill(signal);
    const ended = await within(stopped.finished, "connect to end");
    assert.deepEqual([ended.code, ended.stdout], [1, ""]);
    assert.match(ended.stderr, /^error E3015: Stopped: the connection was cut\.\n$/);
    // What was cut does not look complete.
    await assert.rejects(wire.read());
  }
});

Deno.test("connect goes on when its control connection is lost and found again", async () => {
  await using echo = await echoTarget();
  await using server = await startServer();
  await using there = await startTunnel(server);
  await offer(there, { echo: echo.address });
  await using here = await spawnPktriot(server);
  await using link = await linkProxy(server.tlsPort);
  await using folder = await tempDir();
  const config = JSON.parse(await Deno.readTextFile(here.config));
  const text = JSON.stringify({ ...config, server: { ...config.server, address: link.address } });
  await using connected = spawnConnect({ config: await folder.write("config.json", text) }, "echo:7");
  await connected.write("one");
  await connected.printed(/^one$/);
  const before = link.links.length;
  link.links[0]?.cut();
  await link.link(before);
  await connected.write("two");
  await connected.printed(/^onetwo$/);
  await connected.endInput();
  assert.deepEqual((await within(connected.finished, "connect to end")).code, 0);
});

programTest("ssh through connect, beside a running start", ["ssh", "sshd", "ssh-keygen"], async () => {
  await using sshd = await startSshd();
  await using server = await startServer();
  await using there = await startTunnel(server);
  await offer(there, { office: sshd.address });
  await using here = await spawnPktriot(server);
  const command = [Deno.execPath(), ...commandOf("pktriot", ["--config", here.config, "connect", "%h:%p"])];
  const proxy = command.map((word) => `'${word}'`).join(" ");
  const ssh = (host: string, script: string, stdin: string | Uint8Array = "") =>
    run("ssh", [...sshd.options, "-o", `ProxyCommand=${proxy}`, `${userInfo().username}@${host}`, script], { stdin });
  const hello = await ssh("office", "echo hello; exit 7");
  assert.deepEqual([hello.stdout, hello.stderr, hello.code], ["hello\n", "", 7]);
  const bytes = fill(8 * MEBIBYTE);
  const through = await ssh("office", "cat", bytes);
  assert.deepEqual([through.code, sha256(through.bytes)], [0, sha256(bytes)], through.stderr);
  // The tunnel's own name leads to its only TCP rule as well.
  assert.equal((await ssh(there.hostname, "echo again")).stdout, "again\n");
  assert.match((await ssh("nosuch", "true")).stderr, /^error E4019: nosuch:22 /);
});

programTest("redis-cli through a port map and a unix socket", ["redis-server", "redis-cli"], async () => {
  await using folder = await tempDir();
  const port = await freePort();
  await using redis = spawn("redis-server", [
    ...["--port", `${port}`, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", folder.path],
  ]);
  await redis.printed(/Ready to accept connections/);
  await using server = await startServer();
  await using there = await startTunnel(server);
  await offer(there, { redis: `127.0.0.1:${port}` });
  await using here = await spawnPktriot(server);
  const [local, socket] = [await freePort(), join(folder.path, "redis.sock")];
  await pktriot(here, "ports", "map", `${local}`, "--destination", "redis", "--port", "6379");
  await pktriot(here, "ports", "map", `unix:${socket}`, "--destination", "redis", "--port", "6379", "--label", "cache");
  await whenOpen(here, local);
  await here.log.waitFor("door open", { door: `map/unix:${socket}` });
  const cli = (...args: string[]) => run("redis-cli", args);
  assert.equal((await cli("-p", `${local}`, "set", "key", "value")).stdout, "OK\n");
  assert.equal((await cli("-s", socket, "get", "key")).stdout, "value\n");
});

programTest("curl and nc through the local proxies", ["curl", "nc"], async () => {
  await using web = await httpTarget(() => new Response("through"));
  await using echo = await echoTarget();
  await using server = await startServer();
  await using there = await startTunnel(server);
  await offer(there, { web: web.address, echo: echo.address });
  await using here = await spawnPktriot(server);
  const [socks, http] = [await freePort(), await freePort()];
  await pktriot(here, "proxies", "socks", "listen", `${socks}`);
  const listened = await runProgram("pktriot", [
    ...["--config", here.config, "proxies", "http", "listen", `${http}`, "--auth", "anna", "--password-stdin"],
  ], { stdin: "s3cret\n" });
  assert.equal(listened.code, 0, listened.stderr);
  await here.log.waitFor("door open", { door: `socks/127.0.0.1:${socks}` });
  await here.log.waitFor("door open", { door: `http/127.0.0.1:${http}` });
  const curl = (...args: string[]) => run("curl", ["-sS", "--max-time", "20", ...args, "http://web:8080/"]);
  assert.equal((await curl("--socks5-hostname", `127.0.0.1:${socks}`)).stdout, "through");
  assert.equal((await curl("-p", "--proxy", `http://anna:s3cret@127.0.0.1:${http}`)).stdout, "through");
  assert.match((await curl("-p", "--proxy", `http://anna:wrong@127.0.0.1:${http}`)).stderr, /407/);
  const nc = await run("nc", ["-N", "-X", "5", "-x", `127.0.0.1:${socks}`, "echo", "7"], { stdin: "hi\n" });
  assert.equal(nc.stdout, "hi\n", nc.stderr);
});
