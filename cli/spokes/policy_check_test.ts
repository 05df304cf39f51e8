import { deepEqual, equal, match, notEqual } from "node:assert/strict";
import { loadConfig } from "../config_file.ts";
import { runProgram } from "../program.ts";
import { memoryIo } from "../testing/memory_io.ts";
import { privateFile } from "../testing/private_file.ts";
import { serverConfigSchema } from "./config.ts";
import { openState } from "./open_state.ts";
import { spokesProgram } from "./program.ts";

const CONFIG = `domain: example.com
address: 10.77.0.1:443
http: {listen: ":8080"}
mesh:
  allow: [10.0.0.0/8, "127.0.0.0/8", localhost, "*.invalid"]
  policy:
    - {from: [tag:ci], to: [service:redis, "port:22001"], action: allow}
    - {from: ["*"], to: [cidr:10.6.6.0/24], action: deny}
    - {from: [anonymous], to: ["host:wiki.example.com"], action: allow}
`;

/** A configured server with two tunnels: `database` of alice, which owns port 22001 and wiki.example.com, and `runner` of bob. */
async function configured() {
  const file = await privateFile("spokes.yaml", CONFIG);
  const { value: config } = await loadConfig(file.path, serverConfigSchema);
  await using opened = await openState({ path: file.path, folder: file.folder, config });
  const { state } = opened;
  async function enrol(name: string, owner: string, tags: string[]) {
    const { token } = await state.enrolmentTokens.create({ owner, tags });
    return (await state.enrol(token, { name })).tunnel;
  }
  const database = await enrol("database", "alice", ["db"]);
  await enrol("runner", "bob", ["ci"]);
  await state.ports.allocate(database, { port: 22_001 });
  await state.names.claim(database, "wiki.example.com");
  await state.serviceNames.claim("sum", database);
  return {
    database,
    async check(...args: string[]) {
      const io = memoryIo();
      const code = await runProgram(spokesProgram(io), ["--config", file.path, "policy", "check", ...args], io);
      return { code, out: io.out, err: io.err };
    },
    [Symbol.asyncDispose]: () => file[Symbol.asyncDispose](),
  };
}

Deno.test("spokes policy check says what is decided, and which line says so", async () => {
  await using server = await configured();
  const { hostname, id } = server.database;
  const cases: [from: string, to: string, expected: RegExp][] = [
    [
      "runner",
      "x:22001",
      /^allow: runner of bob, tagged ci -> x:22001, port 22001 of database\n {2}because line 1 of the/,
    ],
    ["database", "wiki.example.com:80", /^allow: .*the site wiki\.example\.com of database\n.*one owner \(alice\)/],
    [id, "wiki.example.com:443", /^allow: database of alice, tagged db/],
    ["owner:carol", "wiki.example.com:80", /^deny: a tunnel of carol .*\n.*different owners/],
    ["anonymous", "wiki.example.com:80", /^allow: somebody without credentials .*\n.*line 3 /],
    ["anonymous", "x:22001", /^deny: .*\n.*without credentials/],
    [
      "tag:ci",
      "service:redis",
      /^allow: a tunnel tagged ci -> service:redis, the service redis, which nobody has yet\n.*line 1 [^\n]*$/,
    ],
    ["runner", "redis:6379 --by database", /^allow: .*the service redis of database\n.*line 1 [^\n]*$/],
    [
      "runner",
      "mysql:3306 --by database",
      /^depends: .*by which of its rules database offers it\n.*line 1.*\n.*different owners/s,
    ],
    ["owner:bob", "mysql:3306 --by database", /^deny: .*\n.*different owners/],
    // Whose a name is, the state knows.
    ["database", "service:sum", /^allow: .*the service sum of alice\n.*one owner \(alice\)[^\n]*$/],
    ["database", "sum:80", /^allow: /],
    ["owner:carol", "sum:80", /^deny: .*different owners[^\n]*$/s],
    [
      "owner:alice",
      "free:1",
      /^depends: .*which nobody has yet\n.*which tunnel offers it.*--by\n.*allow is.*\n.*deny is/,
    ],
    // The rule of the port may have the name redis, which nobody has, and not sum of another owner.
    ["tag:ci", "wiki.example.com:80", /^depends: .*\n.*which service name the rule of wiki\.example\.com has\n/],
    ["runner", `${hostname}:5432`, /^allow: .*a TCP rule of database\n.*line 1 /],
    ["runner", "10.1.2.3:5432", /^allow: .*a host outside that is allowed\n.*every tunnel may reach/],
    ["runner", "10.6.6.6:5432", /^deny: .*\n.*line 2 of the policy/],
    ["runner", "127.0.0.1:8080", /^deny: .*\n.*this server itself, which is never reached$/],
    ["runner", "127.0.0.1:22005", /^deny: .*\n.*this server itself/],
    ["runner", "127.0.0.1:5432", /^allow: /],
    ["runner", "10.77.0.1:5432", /^deny: .*\n.*10\.77\.0\.1 is an address of the server/],
    // A service name, or a port, that only the running server knows.
    ["owner:carol", "x:22001", /^deny: .*\n.*different owners[^\n]*$/],
    ["runner", "10.1.2.3:25", /^deny: .*\n.*port 25 is for mail/],
    ["runner", "localhost:5432", /^allow: /],
  ];
  for (const [from, to, expected] of cases) {
    const { code, out, err } = await server.check("--from", from, "--to", ...to.split(" "));
    match(out.join("\n"), expected, `${from} -> ${to}`);
    const [action = ""] = out[0]?.split(":") ?? [];
    deepEqual([code, err], [{ allow: 0, deny: 1, depends: 3 }[action], []], `${from} -> ${to}`);
  }
  const { out } = await server.check("--from", "runner", "--to", "x:22001", "--json");
  const { action, line } = JSON.parse(out.join("\n"));
  deepEqual([action, line.number], ["allow", 1]);
  const open = JSON.parse((await server.check("--from", "owner:alice", "--to", "free:1", "--json")).out.join("\n"));
  deepEqual([open.action, open.possible.map((each: { action: string }) => each.action)], ["depends", [
    "allow",
    "deny",
  ]]);
});

for (
  const [args, message] of [
    [["--from", "nobody", "--to", "x:22001"], /There is no tunnel .* "nobody"/],
    [["--from", "runner", "--to", "db.srv.local:5432"], /no host that is allowed/],
    [["--from", "runner", "--to", "127.1:80"], /Cannot use "127\.1" as a destination/],
    [["--from", "runner", "--to", "redis:1", "--by", "nobody"], /There is no tunnel .* "nobody"/],
    [["--from", "runner"], /--to/],
  ] as const
) {
  Deno.test(`spokes policy check ${args.join(" ")}: one clear line`, async () => {
    await using server = await configured();
    const { code, out, err } = await server.check(...args);
    notEqual(code, 0);
    match(err.join("\n"), message);
    deepEqual(out, []);
  });
}

Deno.test("spokes check says what the mesh is", async () => {
  for (
    const [mesh, expected] of [
      ["", /let tunnels reach each other and nothing outside through the mesh, by a policy of no lines of its own$/m],
      [
        "mesh: {allow: [a.b, 10.0.0.1], policy: [{from: ['*'], to: ['*'], action: deny}]}",
        /and 2 hosts outside .* of 1 line$/m,
      ],
      [
        "mesh: {allow: ['127.0.0.1:9400', 'localhost:5432', '10.0.0.1']}",
        /^ {2}warning: mesh\.allow: "127\.0\.0\.1:9400" never leads anywhere: .* itself, which is never reached\n {2}warning: mesh\.allow: "localhost:5432" [^\n]*loopback[^\n]*\n {2}believe/m,
      ],
      ["mesh: off", /^ {2}have no mesh$/m],
      [
        "mesh: {socks: {listen: ':1080', tls_listen: '127.0.0.1:1081'}}",
        /^ {2}listen on \[::\]:1080 for SOCKS5 into the mesh with a tunnel's token, in clear\n {2}listen on 127\.0\.0\.1:1081 for SOCKS5 .*, inside TLS$/m,
      ],
      [
        "mesh: {connect: on, connect_tls_listen: ':8443', policy: [{from: [anonymous], to: ['port:1'], action: allow}]}",
        /^ {2}take CONNECT on the HTTP port into the mesh with or without a tunnel's token, in clear\n {2}listen on \[::\]:8443 for CONNECT /m,
      ],
    ] as const
  ) {
    await using file = await privateFile("spokes.yaml", `domain: example.com\n${mesh}\n`);
    const io = memoryIo();
    equal(await runProgram(spokesProgram(io), ["--config", file.path, "check"], io), 0);
    match(io.out.join("\n"), expected);
  }
});
