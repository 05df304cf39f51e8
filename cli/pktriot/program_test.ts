import { deepEqual, equal, match } from "node:assert/strict";
import { memoryIo } from "../testing/memory_io.ts";
import { privateFile } from "../testing/private_file.ts";
import { runProgram } from "../program.ts";
import { pktriotProgram } from "./program.ts";

const CONFIG = {
  version: 1,
  // Port 9 (discard): nothing listens there, and nothing here asks a server that answers.
  server: { address: "127.0.0.1:9" },
  tunnel: { id: "t1", token: "spk_tunnel_secret", hostname: "a.example.com", name: "laptop" },
  http: [{ domain: "blog.example.com", target: "127.0.0.1:8080", firewall: { allow: ["10.0.0.1"] } }],
  tcp: [{ port: 22_197, target: "127.0.0.1:22" }],
};

async function configured(config: unknown = CONFIG) {
  const file = await privateFile("config.json", `${JSON.stringify(config, null, 2)}\n`);
  return {
    ...file,
    async run(...args: string[]) {
      const io = memoryIo();
      const code = await runProgram(pktriotProgram(io), ["--config", file.path, ...args], io);
      return { code, out: io.out, err: io.err };
    },
  };
}

const BAD_INPUT: [command: string, code: number, message: RegExp][] = [
  ["route http add --domain blog.example.com --http 99999", 2, /^error E5007: .*1 to 65535/],
  ["http", 2, /^error E5007: A one-shot leads to one place\. .*8080.*--webroot/],
  ["http 8080 --webroot .", 2, /^error E5007: A one-shot leads to one place\. /],
  ["route http add --domain blog.example.com", 2, /^error E5007: The rule leads nowhere\. /],
  [
    "route http add --destination 10.0.0.7 --tls 443",
    2,
    /^error E5007: --tls says where HTTPS leads.*--http.*--redirect/,
  ],
  ["route http add --http 80 --webroot .", 2, /^error E5007: The rule leads to several places\. /],
  ["route http add --http 80 --insecure-upstream", 2, /^error E5007: --insecure-upstream is for https:/],
  ["route http add --domain http://a.example.com --http 80", 2, /^error E4003: .*without http:\/\//],
  ["route http add --webroot ./does-not-exist", 1, /^error E5008: .*does not exist/],
  ["route http add --target :::", 2, /^error E5009: /],
  ["route http rm --domain none.example.com", 1, /^error E4014: .*none\.example\.com.*pktriot route http ls/],
  ["route http rm", 2, /^error E5007: .*--domain/],
  ["route http firewall allow --domain blog.example.com --network 10.0.0.0/33", 2, /^error E4013: .*10\.0\.0\.0\/33/],
  ["route http firewall allow --domain none.example.com --network 10.0.0.1", 1, /^error E4014: /],
  ["route http firewall rm --domain blog.example.com --network 10.0.0.1", 1, /^error E4015: .*--open/],
  ["route tcp forward --port 22197 --target /tmp --offline", 2, /^error E5009: .*TCP rule/],
  ["route tcp forward --dstport 22 --offline", 2, /^error E5007: .*--port/],
  ["route tcp release --port x", 2, /^error E5007: /],
  ["route tcp firewall drop --port 22199 --network ::1", 1, /^error E4014: .*22199/],
  ["domain add https://blog.example.com", 2, /^error E4003: .*without http:\/\//],
  ["domain add *.example.com", 2, /^error E4003: .*one name/],
  ["domain add localhost", 2, /^error E4003: .*whole name/],
  ["domain verify", 2, /^error E5007: .*name/],
  ["domain rm blog.example.com", 1, /^error E3005: /],
  ["route tcp forward --service a.b --target 1 --offline", 2, /^error E5007: --service: .*not a service name/],
  ["route tcp forward --service redis --target 1 --offline", 2, /^error E5007: A port cannot be allocated offline/],
  ["route http add --service Web --http 80 --offline", 2, /^error E5007: --service: /],
  ["ports map", 2, /^error E5007: .*port/],
  ["ports map 0 --destination a", 2, /^error E5007: "0": A port is/],
  ["ports map 70000 --destination a", 2, /^error E5007: "70000"/],
  ["ports map unix:x --destination a --port 1", 2, /^error E5007: The local end: .*absolute/],
  ["ports map 3306", 2, /^error E5007: .*--destination/],
  ["ports map 3306 --destination a --transport udp", 2, /^error E5007: .*tcp/],
  ["ports map 3306 --destination a --port 0", 2, /^error E5007: .*1 to 65535/],
  ["ports map 3306 --destination 127.1", 2, /^error E4018: /],
  ["ports map 3306 --destination a_b!", 2, /^error E4018: /],
  ["ports map 3306 --destination a:70000", 2, /^error E4018: /],
  [
    "ports map 1 --destination redis:1 --port 2",
    2,
    /^error E5007: The port is given twice: in "redis:1", and by --port 2\. /,
  ],
  [`route tcp forward --target 1 --service ${"x".repeat(64)}`, 2, /at most 63 characters, not 64/],
  ["ports map unix:/tmp/x --destination a", 2, /^error E5007: A unix socket does not say/],
  ["ports map unix:/tmp/x --destination a --port 1 --bind ::1", 2, /^error E5007: --bind/],
  ["ports map 3306 --destination a --bind localhost", 2, /^error E5007: --bind: "localhost" is not an address/],
  ["ports map 3306 --destination a --bind 0.0.0.0", 2, /^error E5012: .*0\.0\.0\.0:3306.*--no-auth/],
  ["ports rm 3306", 1, /^error E4014: .*3306/],
  ["ports rm x", 2, /^error E5007: "x"/],
  ["proxies socks listen", 2, /^error E5007: .*port/],
  ["proxies socks listen 0", 2, /^error E5007: .*1 to 65535/],
  ["proxies socks listen 1080 --bind 0.0.0.0", 2, /^error E5012: .*--auth/],
  ["proxies http listen 8118 --auth a:b", 2, /^error E5007: --auth takes the user alone/],
  ["proxies http listen 8118 --auth anna", 2, /^error E5007: There is no password for --auth/],
  ["proxies http listen 8118 --password-stdin", 2, /^error E5007: --password-stdin is for --auth/],
  ["proxies http rm", 1, /^error E4014: There is no HTTP CONNECT proxy/],
  ["connect", 2, /^error E5007: .*destination/],
  ["connect redis:0", 2, /^error E4018: /],
  ["connect ::1:22", 2, /^error E4018: /],
  ["connect redis:22", 1, /^error E3005: /],
  ["services", 1, /^error E3005: /],
  ["route http ad", 2, /^error E5007: Unknown command 'ad'\. Did you mean add\?/],
  ["route http ls --jsn", 2, /^error E5007: Unknown option '--jsn'\. Did you mean --json\?/],
  ["edit --name ", 2, /^error E5007: A name has 1 to 64/],
  ["edit", 2, /^error E5007: .*--name/],
  ["tcp", 2, /^error E5007: .*target/],
  ["start now", 2, /^error E5007: Too many arguments/],
  ["configure INVITE --server example.com", 2, /^error E5007: Both an invite and --server/],
  ["configure --token x", 2, /^error E5007: --token and --pin need --server/],
  [
    "configure spokes1.abc",
    2,
    /^error E5006: The invite is not valid: its end is missing\. Copy the whole line that the server printed\.$/,
  ],
  [
    "--config /none/such.json info",
    1,
    /^error E5001: .*\. Run `pktriot configure INVITE` first, or correct --config\.$/,
  ],
  ["configure nonsense", 2, /^error E5006: /],
  ["configure --server 127.0.0.1:9 --token x --pin abc", 2, /^error E5007: The pin is not a SHA-256/],
  ["configure --server a:b:c", 2, /^error E5007: "a:b:c" is not a server/],
];

for (const [command, code, message] of BAD_INPUT) {
  Deno.test(`pktriot ${command}: one clear line, nothing written`, async () => {
    await using file = await configured();
    const before = await file.text();
    const result = await file.run(...command.split(" "));
    equal(result.code, code, result.err.join("\n"));
    equal(result.err.length, 1, result.err.join("\n"));
    match(result.err[0] ?? "", message);
    deepEqual(result.out, []);
    equal(await file.text(), before);
    deepEqual(Array.from(Deno.readDirSync(file.folder), ({ name }) => name), ["config.json"]);
  });
}

Deno.test("pktriot names file, line and column of a bad configuration", async () => {
  await using file = await configured({ ...CONFIG, htpp: [] });
  const { code, err } = await file.run("route", "http", "ls");
  equal(code, 1);
  match(err[0] ?? "", /^error E5003: .*config\.json:29:3: htpp: there is no such key\. /);
});

Deno.test("pktriot never repeats the token of a broken configuration", async () => {
  await using file = await privateFile(
    "config.json",
    '{"version": 1, "tunnel": {"token": "spk_tunnel_secret" "id": 1}}',
  );
  const io = memoryIo();
  equal(await runProgram(pktriotProgram(io), ["--config", file.path, "info"], io), 1);
  equal(io.err.join("\n").includes("spk_tunnel_secret"), false);
});

Deno.test("pktriot route http add, rm and ls change and show the configuration", async () => {
  await using file = await configured();
  deepEqual(await file.run("route", "http", "add", "--domain", "App.example.com", "--http", "3000", "--offline"), {
    code: 0,
    out: ["HTTP/S traffic rule added"],
    err: [],
  });
  deepEqual((await file.run("tunnel", "http", "add", "--target", "https://app.internal", "--offline")).code, 0);
  deepEqual((await file.run("route", "http", "rm", "--domain", "blog.example.com")).out, [
    "HTTP/S traffic rule removed",
  ]);
  const { out } = await file.run("route", "http", "ls", "--json");
  deepEqual(JSON.parse(out.join("\n")), [
    { domain: "app.example.com", target: "127.0.0.1:3000" },
    { domain: "a.example.com", target: "https://app.internal" },
  ]);
});

Deno.test("pktriot route http add keeps the rule when the server is away, and says that it was not checked", async () => {
  await using file = await configured();
  const { code, out, err } = await file.run("route", "http", "add", "--domain", "b.example.com", "--http", "80");
  equal(code, 0);
  deepEqual(out, ["HTTP/S traffic rule added"]);
  match(err[0] ?? "", /^warning E3005: /);
  match(await file.text(), /b\.example\.com/);
});

Deno.test("pktriot route tcp forward replaces the target of a port", async () => {
  await using file = await configured();
  await file.run(
    "route",
    "tcp",
    "forward",
    "--port",
    "22197",
    "--destination",
    "::1",
    "--dstport",
    "2222",
    "--offline",
  );
  deepEqual(JSON.parse(await file.text()).tcp, [{ port: 22_197, target: "[::1]:2222" }]);
});

Deno.test("pktriot route tcp allocate writes nothing when the server is away", async () => {
  await using file = await configured();
  const before = await file.text();
  const { code, err } = await file.run("route", "tcp", "allocate");
  equal(code, 1);
  match(err[0] ?? "", /^error E3005: /);
  equal(await file.text(), before);
});

Deno.test("pktriot route firewall allow, drop, rm and ls", async () => {
  await using file = await configured();
  await file.run("route", "tcp", "firewall", "allow", "--port", "22197", "--network", "2001:DB8::/32");
  await file.run("route", "tcp", "firewall", "drop", "--port", "22197", "--network", "10.9.8.7/8");
  const { out } = await file.run("route", "tcp", "firewall", "ls", "--port", "22197");
  deepEqual(out, [
    "+-------+--------+---------------+",
    "| Port  | Action | Network       |",
    "+-------+--------+---------------+",
    "| 22197 | allow  | 2001:db8::/32 |",
    "| 22197 | drop   | 10.0.0.0/8    |",
    "+-------+--------+---------------+",
  ]);
  await file.run("route", "tcp", "firewall", "rm", "--port", "22197", "--network", "2001:db8::/32", "--open");
  const { out: json } = await file.run("route", "tcp", "firewall", "ls", "--json");
  deepEqual(JSON.parse(json.join("\n")), [{ port: 22_197, allow: [], drop: ["10.0.0.0/8"] }]);
});

Deno.test("pktriot info --json tells the facts of the block", async () => {
  await using file = await configured();
  const { out } = await file.run("info", "--json", "--offline");
  const { hostname, server, name, http, tcp } = JSON.parse(out.join("\n"));
  deepEqual({ hostname, server, name }, { hostname: "a.example.com", server: "127.0.0.1:9", name: "laptop" });
  deepEqual([http.length, tcp.length], [1, 1]);
  equal(out.join("\n").includes("spk_tunnel"), false);
});

Deno.test("pktriot does not touch a configuration that exists when configured again", async () => {
  await using file = await configured();
  const before = await file.text();
  const { code, err } = await file.run("configure", "--server", "127.0.0.1:9", "--token", "spk_enrol_x");
  equal(code, 1);
  match(err[0] ?? "", /^error E5010: .*--replace/);
  equal(await file.text(), before);
});

Deno.test("pktriot configure leaves nothing behind when the server is away", async () => {
  await using file = await privateFile("other", "");
  const io = memoryIo({ env: { PKTRIOT_TOKEN: "spk_enrol_x" } });
  const path = `${file.folder}/new/config.json`;
  const code = await runProgram(pktriotProgram(io), ["--config", path, "configure", "--server", "127.0.0.1:9"], io);
  equal(code, 1, io.err.join("\n"));
  deepEqual(Array.from(Deno.readDirSync(`${file.folder}/new`)), []);
});

Deno.test("every command of pktriot has help with two examples", async () => {
  for (const path of commandPaths()) {
    const io = memoryIo();
    equal(await runProgram(pktriotProgram(io), [...path, "--help"], io), 0, path.join(" "));
    const examples = io.out.join("\n").match(/^ {2}(?:\$|source|pktriot) .*$/gm) ?? [];
    equal(examples.length >= 2, true, `pktriot ${path.join(" ")}: ${io.out.join("\n")}`);
  }
});

/** All commands that do something. */
function commandPaths(): string[][] {
  const found: string[][] = [];
  function walk(command: ReturnType<typeof pktriotProgram>, path: string[]): void {
    for (const child of command.commands) {
      if (child.commands.length > 0) walk(child, [...path, child.name()]);
      else if (child.name() !== "help") found.push([...path, child.name()]);
    }
  }
  walk(pktriotProgram(memoryIo()), []);
  return found;
}
