import assert from "node:assert/strict";
import { join } from "node:path";
import { eventually, httpTarget, spawnProgram, spawnSpokes, tempDir } from "./harness.ts";
import { runProgram } from "./harness/processes.ts";

Deno.test("route http ls and info show what the server says of each rule, while start runs and after", async () => {
  await using folder = await tempDir();
  await using web = await httpTarget(() => new Response("published"));
  await using spokes = await spawnSpokes();
  const config = join(folder.path, "pktriot.json");
  async function pktriot(...args: string[]): Promise<{ out: string; err: string }> {
    const { code, stdout, stderr } = await runProgram("pktriot", ["--config", config, ...args]);
    assert.equal(code, 0, `${args.join(" ")}: ${stdout}${stderr}`);
    return { out: stdout, err: stderr };
  }
  await pktriot("configure", await spokes.invite());
  const add = ["route", "http", "add", "--http", `${web.port}`];
  await pktriot(...add, "--domain", "blog.tunnels.localhost");
  // A reserved name, which the server would have refused had it been asked.
  await pktriot(...add, "--domain", "www.tunnels.localhost", "--offline");
  const idle = await pktriot("route", "http", "ls");
  assert.match(idle.err, /^Not running: `pktriot start` publishes the rules\.\n$/);
  assert.doesNotMatch(idle.out, /Inactive/);

  const uncovered = ["--config", config, ...add, "--domain", "uncovered.tunnels.localhost", "--tls-at", "server"];
  const refused = await runProgram("pktriot", uncovered);
  assert.equal(refused.code, 1);
  assert.match(refused.stderr, /^error E6008: .*"uncovered\.tunnels\.localhost".*\n$/);

  await using started = spawnProgram("pktriot", ["--config", config, "start"]);
  await started.program.printed(/Running/);
  await eventually(async () => (await pktriot("info")).out.includes("Inactive"), "the states to be known");
  const { out, err } = await pktriot("route", "http", "ls");
  assert.equal(err, "");
  assert.match(out, /\+\nInactive: http\/www\.tunnels\.localhost: .* \(E4002\)\n$/);
  const [blog, www] = JSON.parse((await pktriot("route", "http", "ls", "--json")).out);
  assert.deepEqual([blog.state, www.state, www.code], ["active", "inactive", "E4002"]);
  assert.match(blog.address, /^https?:\/\/blog\.tunnels\.localhost/);
  assert.match((await pktriot("info")).out, /\nInactive: http\/www\.tunnels\.localhost: /);
  const info = JSON.parse((await pktriot("info", "--json")).out);
  assert.deepEqual(info.http.map(({ state }: { state: string }) => state), ["active", "inactive"]);
  const offline = await pktriot("route", "http", "ls", "--offline");
  assert.deepEqual([offline.err, offline.out.includes("Inactive")], ["", false]);

  assert.equal(await started.kill("SIGTERM"), 0);
  const [stopped] = JSON.parse((await pktriot("route", "http", "ls", "--json")).out);
  assert.equal(stopped.state, "stopped");
});
