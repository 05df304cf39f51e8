import assert from "node:assert/strict";
import { join } from "node:path";
import {
  eventually,
  httpTarget,
  programTest,
  run,
  spawnPktriot,
  spawnSpokes,
  startServer,
  startTunnel,
  tempDir,
} from "./harness.ts";
import { dnsServer } from "./harness/dns.ts";
import { runProgram } from "./harness/processes.ts";

const BLOG = "blog.example.org";
const RECORD = `_spokes-challenge.${BLOG}`;

programTest("a domain of one's own: refused, proven by a real DNS server, served, given up", [
  "curl",
  "dnsmasq",
], async () => {
  await using dns = await dnsServer();
  await using web = await httpTarget(() => new Response("my own domain"));
  await using spokes = await spawnSpokes({ yaml: `domains: { resolvers: ["${dns.address}"] }\n` });
  await using owner = await spawnPktriot(spokes);
  await using other = await spawnPktriot(spokes);
  const pktriot = (config: string, ...args: string[]) => runProgram("pktriot", ["--config", config, ...args]);
  async function refused(config: string, ...args: string[]): Promise<string> {
    const { code, stderr } = await pktriot(config, ...args);
    assert.equal(code, 1, stderr);
    assert.equal(stderr.trim().split("\n").length, 1, stderr);
    return stderr;
  }
  async function done(...args: string[]): Promise<string> {
    const { code, stdout, stderr } = await pktriot(owner.config, ...args);
    assert.equal(code, 0, stderr);
    return stdout;
  }
  const add = ["route", "http", "add", "--domain", BLOG, "--destination", "127.0.0.1", "--http", `${web.port}`];

  assert.match(await refused(owner.config, ...add), /^error E4016: .*`pktriot domain add blog\.example\.org`/);
  // Written all the same it waits, and the log says for what.
  await done(...add, "--offline");
  await owner.log.waitFor("rule inactive", { rule: `http/${BLOG}`, code: "E4016" });

  const { txt, pointing, status } = JSON.parse(await done("domain", "add", BLOG, "--json"));
  assert.equal(txt.name, RECORD);
  assert.deepEqual([status, pointing], ["pending", { kind: "cname", hostname: owner.hostname }]);
  const shown = await done("domain", "add", BLOG);
  for (const record of [txt.name, txt.value, owner.hostname]) assert.ok(shown.includes(record), shown);
  const foreign = JSON.parse((await pktriot(other.config, "domain", "add", BLOG, "--json")).stdout);
  assert.notEqual(foreign.txt.value, txt.value);
  // Whoever has asked already is told what is awaited, not to ask.
  const awaited = await refused(owner.config, ...add);
  assert.match(
    awaited,
    /^error E4016: "blog\.example\.org" is not verified yet: the proof of blog\.example\.org is awaited\./,
  );
  assert.ok(awaited.includes(`Set TXT ${txt.name} to ${txt.value};`), awaited);

  const verify = ["domain", "verify", BLOG];
  assert.match(
    await refused(owner.config, ...verify),
    /is not verified: the DNS could not be asked for the TXT record of \S+: it did not answer\..* no resolver answers the server/,
  );
  await dns.set();
  assert.match(
    await refused(owner.config, ...verify),
    /is not verified: there is no TXT record at _spokes-challenge\.blog/,
  );
  await dns.set(`txt-record=${RECORD},spokes-verify=wrong`);
  assert.match(
    await refused(owner.config, ...verify),
    /"spokes-verify=wrong", and not the value of this tunnel.*Set TXT/,
  );
  const listed = await done("domain", "ls");
  assert.match(listed, /blog\.example\.org +\| pending .*spokes-verify=wrong/);

  // Beside other records, in two strings, behind a CNAME: as zones are.
  const [front, back] = [txt.value.slice(0, 20), txt.value.slice(20)];
  await dns.set(
    `cname=${RECORD},proof.example.org`,
    "txt-record=proof.example.org,v=spf1 -all",
    `txt-record=proof.example.org,${front},${back}`,
  );
  assert.match(await refused(other.config, ...verify), /and not the value of this tunnel/);
  assert.equal(await done(...verify), `${BLOG} is verified\n`);
  // Without a word from the client: it is told.
  await owner.log.waitFor("notice", { code: "domain.verified" });
  await owner.log.waitFor("rule active", { rule: `http/${BLOG}` });
  const curl = ["-sS", "--max-time", "20", "-w", " %{http_code}", "-H", `Host: ${BLOG}`];
  const url = `http://127.0.0.1:${spokes.httpPort}/`;
  assert.equal((await run("curl", [...curl, url])).stdout, "my own domain 200");

  // The other one learns that, and no more.
  for (const args of [verify, ["domain", "add", BLOG], add]) {
    const told = await refused(other.config, ...args);
    assert.match(told, /^error E4001: "blog\.example\.org" belongs to another tunnel\. /, args.join(" "));
    for (const secret of [owner.hostname, owner.identity.tunnel]) assert.ok(!told.includes(secret), told);
  }
  assert.match(
    await refused(other.config, "domain", "rm", "other.org"),
    /^error E4016: "other\.org" is not a domain of this tunnel\. List/,
  );

  // A proof is good for ever, also for a server that starts again while the DNS is away.
  await dns.set();
  await spokes.again();
  await eventually(
    async () => (await run("curl", [...curl, url])).stdout === "my own domain 200",
    "the site to be back",
  );
  const before = owner.log.entries.length;
  await done("domain", "rm", BLOG);
  await owner.log.waitFor("rule inactive", { rule: `http/${BLOG}`, code: "E4016" }, { from: before });
  assert.match((await run("curl", [...curl, url])).stdout, / 404$/);

  // Proven anew, the rule is back; and the operator has the last word, while the server runs.
  const again = JSON.parse(await done("domain", "add", BLOG, "--json"));
  await dns.set(`txt-record=${RECORD},${again.txt.value}`);
  await done(...verify);
  assert.equal((await run("curl", [...curl, url])).stdout, "my own domain 200");
  const spokesDomain = (...args: string[]) => runProgram("spokes", ["--config", spokes.config, "domain", ...args]);
  const all = JSON.parse((await spokesDomain("ls", "--json")).stdout);
  assert.deepEqual(
    all.map(({ tunnel, status }: Record<string, string>) => [tunnel, status]).toSorted(),
    [
      [owner.identity.tunnel, "verified"],
      [other.identity.tunnel, "pending"],
    ].toSorted(),
  );
  assert.equal((await spokesDomain("rm", BLOG)).stdout, `Domain ${BLOG} removed\n`);
  await eventually(async () => (await run("curl", [...curl, url])).stdout.endsWith(" 404"), "the site to be gone");
  // What nobody has proven is taken from who waits for it.
  assert.equal((await spokesDomain("rm", BLOG)).stdout, `Domain ${BLOG} removed\n`);
  assert.deepEqual(JSON.parse((await spokesDomain("ls", "--json")).stdout), []);
  assert.match((await spokesDomain("rm", BLOG)).stderr, /^error E6005: No tunnel has proven/);
});

programTest(
  "`domain verify --wait` tells what is missing, and ends when the record is there",
  ["dnsmasq"],
  async () => {
    await using dns = await dnsServer();
    await dns.set();
    await using server = await startServer({ domains: { resolvers: [dns.address] } });
    await using pktriot = await spawnPktriot(server);
    const command = (...args: string[]) => runProgram("pktriot", ["--config", pktriot.config, "domain", ...args]);
    const { txt } = JSON.parse((await command("add", "example.org", "--json")).stdout);
    const waiting = command("verify", "example.org", "--wait");
    await server.log.waitFor("domain not verified", { domain: "example.org" });
    await dns.set(`txt-record=${txt.name},${txt.value}`);
    const { code, stdout, stderr } = await waiting;
    assert.equal(code, 0, stderr);
    assert.equal(stdout, "example.org is verified\n");
    assert.match(stderr, /^Not yet: there is no TXT record at _spokes-challenge\.example\.org yet\n/);
  },
);

Deno.test("below a domain that the operator lists any tunnel takes a name without proof, and nowhere else", async () => {
  await using folder = await tempDir();
  await using server = await startServer({
    stateDir: join(folder.path, "state"),
    domains: { withoutProof: ["internal.example.org"] },
  });
  await using first = await startTunnel(server);
  await using second = await startTunnel(server);
  const target = () => new Response("in house");
  const states = await first.tunnel.setRules([
    { kind: "http", domain: "wiki.internal.example.org", target },
    { kind: "http", domain: "internal.example.org", target },
    { kind: "http", domain: "example.org", target },
  ]);
  assert.deepEqual(states.map(({ state, code }) => code ?? state), ["active", "E4016", "E4016"]);
  const taken = await second.tunnel.setRules([{ kind: "http", domain: "wiki.internal.example.org", target }]);
  assert.deepEqual(taken.map(({ code }) => code), ["E4001"]);
});
