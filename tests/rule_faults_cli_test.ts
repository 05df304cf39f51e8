import assert from "node:assert/strict";
import { join } from "node:path";
import { parse, stringify } from "yaml";
import { testCertificateFor } from "../net/testing/certificate.ts";
import {
  eventually,
  type HttpTarget,
  httpTarget,
  programTest,
  request,
  run,
  runProgram,
  spawnProgram,
  spawnSpokes,
  type SpokesProcess,
  tempDir,
} from "./harness.ts";

const [BLOG, SHOP, WIKI] = ["blog", "shop", "wiki"].map((name) => `${name}.tunnels.localhost`) as [
  ...[string, string, string],
];

/** A configured client whose commands are run. */
interface Setup extends AsyncDisposable {
  readonly config: string;
  readonly folder: string;
  readonly spokes: SpokesProcess;
  readonly web: HttpTarget;
  /** Runs a command, which must end so. */
  pktriot(args: readonly string[], options?: { code?: number }): Promise<{ out: string; err: string }>;
  add(domain: string, ...flags: string[]): Promise<{ out: string; err: string }>;
  /** Edits the configuration as a hand does. */
  edit(change: (config: { http: Record<string, unknown>[] }) => void): Promise<void>;
  list(): Promise<Record<string, string>[]>;
}

async function setUp(): Promise<Setup> {
  await using stack = new AsyncDisposableStack();
  const { path: folder } = stack.use(await tempDir());
  const web = stack.use(await httpTarget(() => new Response("published")));
  const spokes = stack.use(await spawnSpokes());
  const config = join(folder, "config.yaml");
  const pktriot: Setup["pktriot"] = async (args, { code: wanted = 0 } = {}) => {
    const { code, stdout, stderr } = await runProgram("pktriot", ["--config", config, ...args]);
    assert.equal(code, wanted, `${args.join(" ")}: ${stdout}${stderr}`);
    return { out: stdout, err: stderr };
  };
  await pktriot(["configure", await spokes.invite()]);
  const all = stack.move();
  return {
    ...{ config, folder, spokes, web, pktriot },
    add: (domain, ...flags) => pktriot(["route", "http", "add", "--domain", domain, "--http", `${web.port}`, ...flags]),
    async edit(change) {
      const value = parse(await Deno.readTextFile(config));
      change(value);
      await Deno.writeTextFile(config, stringify(value));
    },
    list: async () => JSON.parse((await pktriot(["route", "http", "ls", "--json"])).out),
    [Symbol.asyncDispose]: () => all.disposeAsync(),
  };
}

Deno.test("a broken hash or network closes its own rule, at the start and by an edit, and ls says why", async () => {
  await using setup = await setUp();
  const { spokes, config } = setup;
  for (const domain of [BLOG, SHOP, WIKI]) await setup.add(domain);
  await setup.edit(({ http }) => Object.assign(http[0]!, { basicAuth: [{ user: "anna", hash: "$scrypt$broken" }] }));
  await using started = spawnProgram("pktriot", ["--config", config, "start"]);
  await started.program.printed(/Inactive: http\/blog\.tunnels\.localhost: .*"anna".* \(E4012\)/);
  const statusOf = async (host: string): Promise<number> => (await request(spokes.httpPort, { host })).status;
  assert.deepEqual([await statusOf(BLOG), await statusOf(SHOP), await statusOf(WIKI)], [404, 200, 200]);
  await setup.edit(({ http }) => Object.assign(http[1]!, { firewall: { drop: ["10.0.0.0/33"] } }));
  await started.log.waitFor("rule inactive", { rule: `http/${SHOP}`, code: "E4013" });
  assert.deepEqual([await statusOf(BLOG), await statusOf(SHOP), await statusOf(WIKI)], [404, 404, 200]);
  const listed = (await setup.list()).map(({ state, code }) => [state, code]);
  assert.deepEqual(listed, [["inactive", "E4012"], ["inactive", "E4013"], ["active", undefined]]);
  assert.match(
    (await setup.pktriot(["route", "http", "ls"])).out,
    /\nInactive: http\/shop\S+ "10\.0\.0\.0\/33".*E4013/,
  );
  await setup.pktriot(["route", "http", "firewall", "rm", "--domain", SHOP, "--network", "10.0.0.0/33"]);
  await started.log.waitFor("rule active", { rule: `http/${SHOP}` });
  assert.equal(await started.kill("SIGTERM"), 0);
});

programTest(
  "certificate files that cannot be used, and time that runs out, are warned of in ls",
  ["curl"],
  async () => {
    await using setup = await setUp();
    const { spokes, config, folder } = setup;
    const [ca, key] = [join(folder, "chain.pem"), join(folder, "key.pem")];
    async function write(days: number): Promise<void> {
      const made = await testCertificateFor([BLOG], { days });
      await Deno.writeTextFile(key, made.key, { mode: 0o600 });
      await Deno.writeTextFile(ca, made.certificate);
    }
    const warning = async (): Promise<string> =>
      /^Warning: http\/blog\S+ (.*)$/m.exec((await setup.pktriot(["route", "http", "ls"])).out)?.[1] ?? "";
    const secure = async (): Promise<string | undefined> =>
      (await setup.pktriot(["route", "http", "ls"])).out.split("\n")[3]?.split("|")[4]?.trim();
    await write(30);
    await setup.add(BLOG, "--ca", ca, "--key", key);
    assert.equal(await secure(), "false");
    await using started = spawnProgram("pktriot", ["--config", config, "start"]);
    await started.program.printed(/\| blog\S+ .*\| true /);
    assert.deepEqual([await warning(), await secure()], ["", "true"]);
    const [first] = await setup.list();
    assert.ok(Date.parse(first?.["notAfter"] ?? "") > Date.now());

    await Deno.chmod(key, 0o644);
    await started.log.waitFor("rule has a fault", { rule: `http/${BLOG}`, code: "E6002" });
    assert.match(
      await warning(),
      /key\.pem": others may open it.*; the certificate from before goes on to serve \(E6002\)/,
    );
    const [warned] = await setup.list();
    assert.deepEqual([warned?.["state"], warned?.["code"], warned?.["notAfter"]], [
      "active",
      "E6002",
      first?.["notAfter"],
    ]);
    await Deno.remove(ca);
    await eventually(async () => /chain\.pem": it does not exist/.test(await warning()), "the missing file to be told");
    await write(0.1);
    await started.log.waitFor("rule has a fault", { rule: `http/${BLOG}`, code: "E6009" });
    assert.match(await warning(), /^The certificate expires on .* \(E6009\)$/);
    assert.equal(await secure(), "true");

    // Refused exchanges are seen here, as nobody else can see them.
    const at = `${BLOG}:${spokes.tlsPort}`;
    await setup.edit(({ http }) => Object.assign(http[0]!, { basicAuth: [] }));
    await eventually(async () => {
      const { stdout } = await run("curl", ["-sko", "-", "--resolve", `${at}:127.0.0.1`, `https://${at}/`]);
      return stdout.includes("E1401");
    }, "the password to be asked for");
    const { fields } = await started.log.waitFor("request failed", { code: "E1401" });
    assert.deepEqual([fields.rule, fields.visitor, fields.host, fields.status], [
      `http/${BLOG}`,
      "127.0.0.1",
      BLOG,
      401,
    ]);
    assert.equal(await started.kill("SIGTERM"), 0);

    // What was served while it ran is not taken at the next start.
    await write(-0.5);
    await using again = spawnProgram("pktriot", ["--config", config, "start"]);
    await again.program.printed(/Inactive: http\/blog\S+ .*it expired on .* \(E6006\)/);
    assert.equal(await secure(), "false");
    assert.equal(await again.kill("SIGTERM"), 0);
  },
);

Deno.test("rm --release removes a rule that was never started; add and forward say what visitors would meet", async () => {
  await using setup = await setUp();
  const { err } = await setup.add(BLOG, "--redirect");
  assert.match(
    err,
    /^Warning: http\/blog\S+ visitors are redirected to HTTPS, for which the server has no certificate: /,
  );
  assert.equal((await setup.add(SHOP)).err, "");
  const release = ["route", "http", "rm", "--release", "--domain"];
  const { out } = await setup.pktriot([...release, BLOG]);
  assert.match(
    out,
    /^HTTP\/S traffic rule removed\nThere is nothing to release: blog\.tunnels\.localhost is not .*\n$/,
  );
  assert.match((await setup.pktriot([...release, BLOG], { code: 1 })).err, /^error E4004: /);
  assert.deepEqual((await setup.list()).map(({ domain }) => domain), [SHOP]);

  const forward = await setup.pktriot(["route", "tcp", "forward", "--dstport", `${setup.web.port}`]);
  const told = /^(tcp:\S+) ->/m.exec(forward.out)?.[1];
  await using started = spawnProgram("pktriot", ["--config", setup.config, "start"]);
  const [, printed] = await started.program.printed(/^(tcp:\S+) ->/m);
  assert.equal(told, printed);
  // What was published is the tunnel's own until it is released.
  assert.match((await setup.pktriot([...release, SHOP])).out, /\nReleased shop\.tunnels\.localhost\n$/);
  assert.equal(await started.kill("SIGTERM"), 0);
});
