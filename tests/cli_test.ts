import assert from "node:assert/strict";
import { join } from "node:path";
import {
  connectTcp,
  echoTarget,
  eventually,
  freePort,
  httpTarget,
  type ProgramProcess,
  request,
  spawnProgram,
  spawnSpokes,
  tempDir,
} from "./harness.ts";
import { runProgram } from "./harness/processes.ts";
import { portRange } from "./harness/server.ts";

/** Runs a command that must succeed, and gives what it printed. */
async function done(name: "spokes" | "pktriot", ...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await runProgram(name, args);
  assert.equal(code, 0, `${name} ${args.join(" ")}: ${stdout}${stderr}`);
  return stdout;
}

/** `pktriot start`, connected. */
async function start(config: string): Promise<ProgramProcess> {
  const started = spawnProgram("pktriot", ["--config", config, "start"]);
  await started.program.printed(/Running/);
  return started;
}

Deno.test("from nothing to a published service, by the commands of the quick start", async () => {
  await using folder = await tempDir();
  await using web = await httpTarget(() => new Response("published"));
  await using echo = await echoTarget();
  const [http, tls, admin] = [await freePort(), await freePort(), await freePort()];
  const { from, to } = portRange();
  const initialized = await done(
    "spokes",
    ...["init", "--domain", "tunnels.localhost", "--dir", join(folder.path, "server"), "--address", `127.0.0.1:${tls}`],
    ...["--http-port", `${http}`, "--tls-port", `${tls}`, "--admin-port", `${admin}`, "--ports", `${from}-${to}`],
  );
  const invite = /pktriot configure (\S+)/.exec(initialized)?.[1] ?? "";
  await using spokes = spawnProgram("spokes", ["--config", join(folder.path, "server", "spokes.yaml"), "start"]);
  await spokes.log.waitFor("ready");

  const config = join(folder.path, "pktriot.json");
  const pktriot = (...args: string[]) => done("pktriot", "--config", config, ...args);
  const configured = await pktriot("configure", invite);
  const hostname = /Hostname: (\S+)/.exec(configured)?.[1] ?? "";
  assert.match(hostname, /^[a-z]+-[a-z]+-\d{5}\.tunnels\.localhost$/);
  await pktriot("route", "http", "add", "--domain", hostname, "--destination", "127.0.0.1", "--http", `${web.port}`);
  const port = Number(/Allocated port (\d+)/.exec(await pktriot("route", "tcp", "allocate"))?.[1]);
  await pktriot(
    "route",
    "tcp",
    "forward",
    "--port",
    `${port}`,
    "--destination",
    "127.0.0.1",
    "--dstport",
    `${echo.port}`,
  );
  await using started = await start(config);
  assert.equal((await request(http, { host: hostname })).text, "published");
  await using visitor = await connectTcp(port);
  await visitor.send("x");
  await visitor.readExactly(1);

  // A one-shot beside it, with a name of its own.
  await using shot = spawnProgram("pktriot", ["--config", config, "http", `${web.port}`]);
  const [, name = ""] = await shot.program.printed(/([a-z]+-[a-z]+-\d{5}\.tunnels\.localhost)/);
  assert.notEqual(name, hostname);
  assert.equal((await request(http, { host: name })).text, "published");
  assert.equal(await shot.kill("SIGTERM"), 0);
  assert.equal((await request(http, { host: hostname })).text, "published");
  await visitor.send("y");
  await visitor.readExactly(1);
  visitor.reset();
  assert.equal(await started.kill("SIGTERM"), 0);
  assert.equal(await spokes.kill("SIGTERM"), 0);
});

Deno.test("edits by commands and by hand are live while start runs, and a bad one changes nothing", async () => {
  await using folder = await tempDir();
  await using one = await httpTarget(() => new Response("one"));
  await using two = await httpTarget(() => new Response("two"));
  await using echo = await echoTarget();
  await using spokes = await spawnSpokes();
  const config = join(folder.path, "pktriot.yaml");
  const pktriot = (...args: string[]) => done("pktriot", "--config", config, ...args);
  await pktriot("configure", await spokes.invite());
  const port = Number(/Allocated port (\d+)/.exec(await pktriot("route", "tcp", "allocate"))?.[1]);
  await pktriot("route", "tcp", "forward", "--port", `${port}`, "--dstport", `${echo.port}`);
  await using started = await start(config);
  await using stream = await connectTcp(port);
  async function shows(domain: string, expected: string | number): Promise<void> {
    await eventually(async () => {
      const { status, text } = await request(spokes.httpPort, { host: domain });
      return (status === 200 ? text : status) === expected;
    }, `${domain} to show ${expected}`);
    await stream.send("x");
    await stream.readExactly(1);
  }
  const domain = "blog.tunnels.localhost";
  const before = await Deno.readTextFile(config);
  await pktriot("route", "http", "add", "--domain", domain, "--http", `${one.port}`);
  await shows(domain, "one");
  const withRule = await Deno.readTextFile(config);
  assert.notEqual(withRule, before);
  await Deno.writeTextFile(config, withRule.replace(`${one.port}`, `${two.port}`));
  await shows(domain, "two");
  const from = started.log.entries.length;
  await Deno.writeTextFile(config, `${withRule}\n  nonsense: [`);
  const { fields } = await started.log.waitFor("configuration not used", {}, { from });
  assert.match(`${fields["reason"]}`, /pktriot\.yaml:\d+:\d+/);
  await shows(domain, "two");
  await Deno.writeTextFile(config, withRule);
  await shows(domain, "one");
  await pktriot("route", "http", "firewall", "drop", "--domain", domain, "--network", "127.0.0.1");
  await shows(domain, 403);
  await pktriot("route", "http", "firewall", "rm", "--domain", domain, "--network", "127.0.0.1");
  await shows(domain, "one");
  await pktriot("route", "http", "rm", "--domain", domain);
  await shows(domain, 404);
  stream.reset();
});

Deno.test("spokes token rm and tunnel rm are live in the running server", async () => {
  await using spokes = await spawnSpokes();
  await using folder = await tempDir();
  const invite = await spokes.invite();
  const config = join(folder.path, "pktriot.json");
  await done("pktriot", "--config", config, "configure", invite);
  await using started = await start(config);
  const [tunnel] = JSON.parse(await done("spokes", "--config", spokes.config, "tunnel", "ls", "--json"));
  await done("spokes", "--config", spokes.config, "tunnel", "rm", tunnel.id);
  assert.equal(await started.ended, 1);
  assert.match(started.program.stderr, /E3008|E3001/);
  const other = await spokes.invite();
  const tokens = JSON.parse(await done("spokes", "--config", spokes.config, "token", "ls", "--json"));
  const unused = tokens.find(({ state }: { state: string }) => state === "valid");
  await done("spokes", "--config", spokes.config, "token", "rm", unused.id);
  const late = await runProgram("pktriot", ["--config", join(folder.path, "late.json"), "configure", other]);
  assert.equal(late.code, 1);
  assert.match(late.stderr, /E3001/);
  await assert.rejects(Deno.stat(join(folder.path, "late.json")), Deno.errors.NotFound);
});
