import { deepEqual, equal, match, notEqual } from "node:assert/strict";
import { parseInvite } from "../../protocol/invite.ts";
import type { CommandContext } from "../command_context.ts";
import { runProgram } from "../program.ts";
import { memoryIo } from "../testing/memory_io.ts";
import { loadServerConfig } from "./config_path.ts";
import { openState } from "./open_state.ts";
import { spokesProgram } from "./program.ts";

interface Place extends AsyncDisposable {
  readonly folder: string;
  readonly config: string;
  run(...args: string[]): Promise<{ code: number; out: string[]; err: string[] }>;
}

async function place(): Promise<Place> {
  const folder = await Deno.makeTempDir({ prefix: "spokes_cli_" });
  const config = `${folder}/spokes.yaml`;
  return {
    folder,
    config,
    async run(...args) {
      const io = memoryIo();
      const code = await runProgram(spokesProgram(io), ["--config", config, ...args], io);
      return { code, out: io.out, err: io.err };
    },
    [Symbol.asyncDispose]: () => Deno.remove(folder, { recursive: true }),
  };
}

async function initialised(...flags: string[]): Promise<Place> {
  const server = await place();
  const { code, err } = await server.run("init", "--domain", "example.com", ...flags);
  equal(code, 0, err.join("\n"));
  return server;
}

Deno.test("spokes init writes a configuration that check accepts, and prints an invite", async () => {
  await using server = await place();
  const { code, out } = await server.run(
    "init",
    "--domain",
    "Example.com.",
    "--address",
    "203.0.113.7",
    "--tls-port",
    "8443",
  );
  equal(code, 0);
  const invite = parseInvite(out.at(-1)?.replace("pktriot configure ", "") ?? "");
  equal(invite.server, "203.0.113.7:8443");
  equal(invite.sni, undefined);
  match(invite.token, /^spk_enrol_/);
  equal((await Deno.stat(server.config)).mode! & 0o777, 0o600);
  const { out: json } = await server.run("check", "--json");
  const { domain, tokens, tunnels, certificate, certificates } = JSON.parse(json.join("\n"));
  // It is watched from the first start on.
  deepEqual(certificates, { folder: `${server.folder}/certs`, files: [] });
  deepEqual({ domain, tokens, tunnels }, { domain: "example.com", tokens: 1, tunnels: 0 });
  equal(certificate.pin, invite.pin);
});

Deno.test("spokes init overwrites nothing", async () => {
  await using server = await initialised();
  const before = await Deno.readTextFile(server.config);
  const { code, err } = await server.run("init", "--domain", "other.example");
  equal(code, 1);
  match(err[0] ?? "", /^error E5010: .*already/);
  equal(await Deno.readTextFile(server.config), before);
});

Deno.test("spokes init gives clients the name to ask for when they dial another one", async () => {
  await using server = await place();
  const { out } = await server.run(
    "init",
    "--domain",
    "example.com",
    "--address",
    "balancer.example.net:443",
    "--json",
  );
  const { server: address, sni } = parseInvite(JSON.parse(out.join("\n")).invite);
  deepEqual({ address, sni }, { address: "balancer.example.net:443", sni: "example.com" });
});

const BAD_INIT: [flags: string, message: RegExp][] = [
  ["", /^error E5007: Required option '--domain/],
  ["--domain http://example.com", /^error E4003: .*without http:\/\//],
  ["--domain 192.168.1.1", /^error E4003: /],
  ["--domain example.com --ports 5-1", /^error E5007: .*--ports/],
  ["--domain example.com --http-port 0", /^error E5007: .*1 to 65535/],
  ["--domain example.com --address a/b", /^error E5007: .*--address/],
  ["--domain example.com --hostname a_b", /^error E4003: .*--hostname/],
];

for (const [flags, message] of BAD_INIT) {
  Deno.test(`spokes init ${flags}: one clear line, nothing written`, async () => {
    await using server = await place();
    const { code, err } = await server.run("init", ...flags.split(" ").filter((flag) => flag !== ""));
    equal(code, 2);
    equal(err.length, 1);
    match(err[0] ?? "", message);
    deepEqual(Array.from(Deno.readDirSync(server.folder)), []);
  });
}

Deno.test("spokes check names file, line and column, and makes no state", async () => {
  await using server = await place();
  await Deno.writeTextFile(server.config, "domain: example.com\ntcp:\n  ports: 5-1\n", { mode: 0o600 });
  const { code, err } = await server.run("check");
  equal(code, 1);
  match(err[0] ?? "", /^error E5003: .*spokes\.yaml:3:10: tcp\.ports: it is not a range/);
  deepEqual(Array.from(Deno.readDirSync(server.folder), ({ name }) => name), ["spokes.yaml"]);
});

Deno.test("spokes check says that nobody can connect", async () => {
  await using server = await place();
  await Deno.writeTextFile(server.config, "domain: example.com\nadmin: off\n", { mode: 0o600 });
  const { code, out } = await server.run("check");
  equal(code, 0);
  match(out.join("\n"), /have no admin listener/);
  match(out.at(-1) ?? "", /^Nobody can connect yet/);
  deepEqual(Array.from(Deno.readDirSync(server.folder), ({ name }) => name), ["spokes.yaml"]);
});

Deno.test("spokes check refuses a certificate that is not there, or does not belong to its key, and a key for everybody", async () => {
  await using server = await initialised();
  await using other = await initialised();
  const [, chain = ""] = await pemOf(server);
  const [strangeKey = ""] = await pemOf(other);
  await Deno.writeTextFile(`${server.folder}/chain.pem`, chain);
  await Deno.writeTextFile(`${server.folder}/key.pem`, strangeKey, { mode: 0o600 });
  await Deno.writeTextFile(server.config, "domain: example.com\ntls: {certificate: chain.pem, key: key.pem}\n");
  const mismatch = await server.run("check");
  equal(mismatch.code, 1);
  match(mismatch.err[0] ?? "", /^error E6002: Cannot use "[^"]*chain\.pem": the key does not belong to it/);
  if (Deno.build.os !== "windows") {
    await Deno.chmod(`${server.folder}/key.pem`, 0o644);
    match(
      (await server.run("check")).err[0] ?? "",
      /^error E6002: Cannot trust the key "[^"]*key\.pem": everybody may/,
    );
  }
  await Deno.writeTextFile(server.config, "domain: example.com\ntls: {certificate: none.pem, key: none.pem}\n");
  match((await server.run("check")).err[0] ?? "", /^error E6002: .*none\.pem/);
});

Deno.test("with a certificate of the operator's an invite has the pin of the server's own authority as well", async () => {
  await using server = await initialised();
  await using other = await initialised();
  const own = JSON.parse((await server.run("check", "--json")).out.join("\n")).certificate;
  const [key = "", chain = ""] = await pemOf(other);
  await Deno.writeTextFile(`${server.folder}/chain.pem`, chain);
  await Deno.writeTextFile(`${server.folder}/key.pem`, key, { mode: 0o600 });
  await Deno.writeTextFile(server.config, "domain: example.com\ntls: {certificate: chain.pem, key: key.pem}\n");
  const { certificate } = JSON.parse((await server.run("check", "--json")).out.join("\n"));
  deepEqual([certificate.kind, certificate.pin, own.kind], ["given", own.pin, "own authority"]);
  match((await server.run("check")).out.join("\n"), new RegExp(`by its internal name .* pin ${own.pin}`));
  const { invite } = JSON.parse((await server.run("token", "create", "--json")).out.join("\n"));
  equal(parseInvite(invite).pin, own.pin);
});

Deno.test("spokes check tells which certificates it would use, get and demand", async () => {
  await using server = await initialised();
  const [key = "", chain = ""] = await pemOf(server);
  const certs = `${server.folder}/certs`;
  await Deno.mkdir(`${certs}/sub`, { recursive: true });
  const write = (name: string, text: string, mode: number) => Deno.writeTextFile(`${certs}/${name}`, text, { mode });
  await write("sub/fullchain.pem", chain, 0o644);
  await write("sub/privkey.pem", key, 0o600);
  await write("open.crt", chain, 0o644);
  await write("open.key", key, 0o644);
  const settings = "domain: d.test\nhostname: t.d.test\nacme: {directory: letsencrypt-staging}\n" +
    "proxy_protocol: {from: [10.0.0.0/8]}\n";
  await Deno.writeTextFile(server.config, settings);
  const { code, out } = await server.run("check");
  const text = out.join("\n");
  equal(code, 0);
  match(
    text,
    /get certificates from https:\/\/acme-staging.*\n +for t\.d\.test, by an answer at port 80 .http-01. or .* port 443/,
  );
  match(
    text,
    /use the certificates in .*certs: 2 found, 1 of them not used\n/,
  );
  match(text, /\n {2}warning: E6002: Cannot trust the key ".*open\.key": everybody may read/);
  match(
    text,
    /\n {2}warning: names below d\.test have no HTTPS that ends at this server: no certificate covers \*\.d\.test;/,
  );
  match(text, /\n {4}\| open\.crt +\| -- +\| -- +\| not used \|/);
  match(text, /\| sub\/fullchain\.pem \| example\.com, tunnel\.spokes\.internal \| 2\S+ \S+ UTC \| valid +\|/);
  match(text, /demand PROXY protocol from 10\.0\.0\.0\/8/);
  // A name that the operator has a certificate for is not asked of an authority; and a secret is never shown.
  const secret = "canary-canary-canary";
  const eab = `acme: {eab: {key_id: id, hmac_key: ${secret}}}\n`;
  await Deno.writeTextFile(server.config, `domain: example.com\n${eab}`);
  const shown = (await server.run("check", "--json")).out.join("\n");
  equal(shown.includes(secret), false);
  const { acme, certificates, warnings } = JSON.parse(shown);
  deepEqual(acme, { directory: "https://acme-v02.api.letsencrypt.org/directory", dnsCheck: null, orders: [] });
  deepEqual(certificates.files.map(({ status }: { status: string }) => status), ["not used", "valid"]);
  deepEqual(certificates.files[0].expires, null);
  deepEqual(warnings.map((text: string) => text.split(" ", 2).join(" ")), ["E6002: Cannot", "names below"]);
});

Deno.test("spokes check refuses a folder, a hook or an authority's root that is not there, or is none", async () => {
  await using server = await place();
  await Deno.writeTextFile(
    `${server.folder}/text.pem`,
    "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n",
  );
  for (
    const [settings, fault] of [
      ["certificates: no", /E6002: Cannot read the certificates in ".*no"/],
      ["acme: {dns_hook: no.sh}", /the DNS hook ".*no\.sh" cannot be run/],
      ["acme: {ca: no.pem}", /E6002: Cannot read .*no\.pem/],
      ["acme: {ca: text.pem}", /E6002: Cannot use .*text\.pem as acme\.ca: it holds no certificate in PEM/],
    ] as const
  ) {
    await Deno.writeTextFile(server.config, `domain: example.com\n${settings}\n`, { mode: 0o600 });
    const { code, err } = await server.run("check");
    equal(code, 1);
    match(err[0] ?? "", fault);
  }
});

/** Key and chain of a server's own certificate. */
async function pemOf({ folder }: Place): Promise<[key: string, chain: string]> {
  const pem = await Deno.readTextFile(`${folder}/state/endpoint.pem`);
  const split = pem.indexOf("-----BEGIN CERTIFICATE");
  return [pem.slice(0, split), pem.slice(split)];
}

Deno.test("spokes refuses a configuration that others may write", async () => {
  await using server = await initialised();
  await Deno.chmod(server.config, 0o666);
  const { code, err } = await server.run("token", "ls");
  equal(code, 1);
  match(err[0] ?? "", /^error E5002: .*mode 0666.*chmod 600/);
});

Deno.test("spokes token create, ls and rm", async () => {
  await using server = await initialised();
  const { out } = await server.run(
    ...["token", "create", "--owner", "alice", "--tag", "a", "--tag", "b", "--expires", "7d", "--uses", "unlimited"],
    ...["--domain", "*.Example.org", "--ports", "22100-22199", "--max-names", "3", "--max-ports", "0", "--json"],
  );
  const { id, owner, tags, uses, grants, invite } = JSON.parse(out.join("\n"));
  deepEqual({ owner, tags, uses }, { owner: "alice", tags: ["a", "b"], uses: null });
  deepEqual(grants, { domains: ["*.example.org"], ports: [{ from: 22_100, to: 22_199 }], maxNames: 3, maxPorts: 0 });
  match(parseInvite(invite).token, new RegExp(`^spk_enrol_${id}_`));
  const listed = await server.run("token", "ls");
  equal(listed.out.filter((line) => line.includes(id)).length, 1);
  equal(listed.out.join("\n").includes(parseInvite(invite).token), false);
  deepEqual((await server.run("token", "rm", id)).code, 0);
  const { out: left } = await server.run("token", "ls", "--json");
  equal(JSON.parse(left.join("\n")).length, 1);
});

Deno.test("every invite of a server carries the same pin", async () => {
  await using server = await initialised();
  const pins = await Promise.all(["a", "b"].map(async () => {
    const { out } = await server.run("token", "create", "--json");
    return parseInvite(JSON.parse(out.join("\n")).invite).pin;
  }));
  notEqual(pins[0], undefined);
  equal(pins[0], pins[1]);
});

const BAD_TOKEN: [flags: string, message: RegExp][] = [
  ["--expires 7x", /"7x" is not a time/],
  ["--expires 0s", /"0s" is not a time/],
  ["--uses many", /"many" is not a number/],
  ["--uses 0", /not a number of uses/],
  ["--owner a/b", /not an owner or tag/],
  ["--ports 1-70000", /not a range of ports/],
  ["--domain *.com.*", /not a domain/],
  ["--max-names -1", /is not a number/],
];

for (const [flags, message] of BAD_TOKEN) {
  Deno.test(`spokes token create ${flags}: one clear line, no token`, async () => {
    await using server = await initialised();
    const { code, err } = await server.run("token", "create", ...flags.split(" "));
    equal(code, 2, err.join("\n"));
    equal(err.length, 1);
    match(err[0] ?? "", message);
    equal(JSON.parse((await server.run("token", "ls", "--json")).out.join("\n")).length, 1);
  });
}

Deno.test("spokes token rm and tunnel rm say when there is nothing to remove", async () => {
  await using server = await initialised();
  for (const command of [["token", "rm", "nope"], ["tunnel", "rm", "none.example.com"]]) {
    const { code, err } = await server.run(...command);
    equal(code, 1);
    match(err[0] ?? "", /^error E6005: .*"n/);
  }
});

Deno.test("every command of spokes has help with two examples", async () => {
  const program = spokesProgram(memoryIo());
  const paths = program.commands.flatMap((command) =>
    command.commands.length === 0 ? [[command.name()]] : command.commands.map((child) => [command.name(), child.name()])
  ).filter((path) => path.at(-1) !== "help");
  equal(paths.length >= 9, true);
  for (const path of paths) {
    const io = memoryIo();
    equal(await runProgram(spokesProgram(io), [...path, "--help"], io), 0);
    const examples = io.out.join("\n").match(/^ {2}\$ .*$/gm) ?? [];
    equal(examples.length >= 2, true, `spokes ${path.join(" ")}: ${io.out.join("\n")}`);
  }
});

Deno.test("spokes service ls and rm show whose a service name is, and take it", async () => {
  await using server = await initialised();
  const context = { io: memoryIo(), global: { config: server.config } } as unknown as CommandContext;
  {
    await using opened = await openState(await loadServerConfig(context));
    await opened.state.serviceNames.claim("redis", { owner: "alice" });
  }
  match((await server.run("service", "ls")).out.join("\n"), /redis +\| alice +\| 2\d{3}-/);
  const [redis] = JSON.parse((await server.run("service", "ls", "--json")).out.join("\n"));
  const { name, owner, offeredAt, keptUntil } = redis;
  deepEqual([name, owner, Date.parse(keptUntil) - Date.parse(offeredAt)], ["redis", "alice", 30 * 24 * 3_600_000]);
  deepEqual((await server.run("service", "rm", "redis")).out, [
    "Service redis removed: it was alice's, and is free",
    "Rules of alice that offered it are inactive (E4024): the log of the server has each of them",
  ]);
  for (const wrong of ["redis", "a.b", "*"]) {
    const { code, err } = await server.run("service", "rm", wrong);
    equal(code, 1);
    match(err[0] ?? "", /belongs to nobody/);
  }
});
