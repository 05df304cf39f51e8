import { deepEqual, equal, match } from "node:assert/strict";
import { parse } from "yaml";
import { IDENTITY, pktriotConfig } from "../testing/pktriot_config.ts";

const MAP = ["ports", "map", "--offline"];

Deno.test("ports map, ls and rm change and show the configuration", async () => {
  await using file = await pktriotConfig("config.json", IDENTITY);
  const { code, out } = await file.run([
    ...["ports", "map", "23306", "--transport", "tcp", "--destination", "MariaDB", "--port", "22123", "--offline"],
  ]);
  deepEqual([code, out], [0, ["Added port mapping", "127.0.0.1:23306 -> mariadb:22123"]]);
  deepEqual(JSON.parse(await file.text()).ports, [
    { port: 23_306, transport: "tcp", destination: "mariadb", destinationPort: 22_123 },
  ]);
  deepEqual((await file.run(["ports", "ls"])).out, [
    "+------------+-----------+---------+------------------+",
    "| Local Port | Transport | Host    | Destination Port |",
    "+------------+-----------+---------+------------------+",
    "| 23306      | tcp       | mariadb | 22123            |",
    "+------------+-----------+---------+------------------+",
  ]);
  deepEqual(await file.run(["ports", "rm", "23306"]), { code: 0, out: ["Removed port mapping"], err: [] });
  deepEqual(JSON.parse((await file.run(["ports", "ls", "--json"])).out.join("")), []);
  const again = await file.run(["ports", "rm", "23306"]);
  deepEqual([again.code, again.out], [1, []]);
  match(again.err.join("\n"), /^error E4014: There is no port map at 23306\. List them with `pktriot ports ls`\.$/);
});

Deno.test("ports map of a port that is mapped replaces it and says so; comments stay", async () => {
  const text = `version: 1
server: {address: "127.0.0.1:9"}
tunnel: {id: t1, token: secret, hostname: a.example.com, name: laptop}
ports:
  # the cache
  - port: 26379 # here
    destination: redis # there
    destinationPort: 6379
    label: cache
`;
  await using file = await pktriotConfig("config.yaml", text);
  const { code, out } = await file.run([...MAP, "26379", "--destination", "valkey", "--port", "6380"]);
  deepEqual([code, out[0]], [
    ...[0, 'Replaced port mapping 26379 (it led to redis:6379), with --label "cache" as before'],
  ]);
  const after = await file.text();
  deepEqual(parse(after).ports, [
    { port: 26_379, transport: "tcp", destination: "valkey", destinationPort: 6380, label: "cache" },
  ]);
  match(after, /# the cache\n {2}- port: 26379 # here/);
  const map = [...MAP, "26379", "--destination", "valkey", "--port", "6380"];
  equal((await file.run([...map, "--bind", "0.0.0.0", "--no-auth", "--label", "open"])).code, 0);
  const kept = await file.run([...MAP, "26379", "--destination", "redis:1"]);
  deepEqual([kept.code, kept.out[0]], [
    ...[0, 'Replaced port mapping 26379 (it led to valkey:6380), with --bind 0.0.0.0 and --label "open" as before'],
  ]);
  const open = { port: 26_379, transport: "tcp", destination: "redis", destinationPort: 1, bind: "0.0.0.0" };
  deepEqual(parse(await file.text()).ports, [{ ...open, label: "open", auth: "none" }]);
  // Another address is another question.
  match((await file.run([...map, "--bind", "0.0.0.0"])).err.join("\n"), /^error E5012: /);
  equal((await file.run([...map, "--bind", "127.0.0.1"])).code, 0);
  deepEqual(parse(await file.text()).ports[0].auth, undefined);
});

const WRITTEN: [args: string[], entry: Record<string, unknown>][] = [
  [["26379", "--destination", "redis"], { port: 26_379, destination: "redis", destinationPort: 26_379 }],
  [["26379", "--destination", "redis:6379"], { port: 26_379, destination: "redis", destinationPort: 6379 }],
  [["26379", "--destination", "[2001:DB8::1]:80"], { port: 26_379, destination: "2001:db8::1", destinationPort: 80 }],
  [["26379", "--destination", "2001:db8::1", "--port", "80"], {
    port: 26_379,
    destination: "2001:db8::1",
    destinationPort: 80,
  }],
  [["26379", "--destination", "a", "--bind", "::1", "--label", "x y"], {
    port: 26_379,
    destination: "a",
    destinationPort: 26_379,
    bind: "::1",
    label: "x y",
  }],
  [["26379", "--destination", "a", "--bind", "0.0.0.0", "--no-auth"], {
    port: 26_379,
    destination: "a",
    destinationPort: 26_379,
    bind: "0.0.0.0",
    auth: "none",
  }],
  // On loopback there is nothing to spell out.
  [["26379", "--destination", "a", "--no-auth"], { port: 26_379, destination: "a", destinationPort: 26_379 }],
  [["unix:/tmp/x.sock", "--destination", "a", "--port", "1"], {
    unix: "/tmp/x.sock",
    destination: "a",
    destinationPort: 1,
  }],
];

for (const [args, entry] of WRITTEN) {
  Deno.test(`ports map ${args.join(" ")} is written`, async () => {
    await using file = await pktriotConfig("config.json", IDENTITY);
    const { code, err } = await file.run([...MAP, ...args]);
    deepEqual([code, err], [0, []]);
    deepEqual(JSON.parse(await file.text()).ports, [{ transport: "tcp", ...entry }]);
    equal((await file.run(["ports", "rm", args[0] as string])).code, 0);
  });
}

Deno.test("ports ls has columns for address and label when a map has them", async () => {
  await using file = await pktriotConfig("config.json", {
    ...IDENTITY,
    ports: [
      { unix: "/run/x", destination: "a", destinationPort: 1, label: "one" },
      { port: 2, bind: "::1", destination: "b", destinationPort: 2 },
    ],
  });
  const { out } = await file.run(["ports", "ls"]);
  match(out[1] ?? "", /\| Local Port +\| Transport \| Host \| Destination Port \| Bind \| Label \|/);
  match(out[3] ?? "", /\| unix:\/run\/x \| tcp +\| a +\| 1 +\| -- +\| one +\|/);
});

Deno.test("ports map warns of a port that is in use, and maps it all the same; of its own it says nothing", async () => {
  await using file = await pktriotConfig("config.json", IDENTITY);
  using other = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const args = [...MAP, `${other.addr.port}`, "--destination", "redis", "--port", "6379"];
  const first = await file.run(args);
  deepEqual([first.code, first.out[0], first.err.length], [0, "Added port mapping", 1]);
  match(first.err[0] ?? "", /^warning E6003: Another program listens on 127\.0\.0\.1:\d+\. /);
  // It may well be `start` now.
  deepEqual((await file.run(args)).err, []);
  // It may move there on its own port.
  const proxy = ["proxies", "socks", "listen", `${other.addr.port}`, "--no-auth"];
  equal((await file.run(["ports", "rm", `${other.addr.port}`])).code, 0);
  equal((await file.run([...proxy, "--bind", "0.0.0.0"])).err.length, 1);
  deepEqual((await file.run([...proxy, "--bind", "127.0.0.1"])).err, []);
});

Deno.test("ports map to a service shows no port that nobody gave, and warns of a file in the place of a socket", async () => {
  await using file = await pktriotConfig("config.json", IDENTITY);
  const { out, err } = await file.run([...MAP, `unix:${file.path}`, "--destination", "redis", "--port", "6379"]);
  deepEqual([out[1], err.length], [`unix:${file.path} -> redis:6379`, 1]);
  match(err[0] ?? "", /^warning E6003: .* is there already, and is no socket\. /);
  deepEqual((await file.run([...MAP, "26379", "--destination", "redis"])).out[1], "127.0.0.1:26379 -> redis");
  deepEqual((await file.run([...MAP, "26379", "--destination", "a.test"])).out[1], "127.0.0.1:26379 -> a.test:26379");
});

Deno.test("ports map keeps the map when the server is away, and says that it was not checked", async () => {
  await using file = await pktriotConfig("config.json", IDENTITY);
  const { code, out, err } = await file.run(["ports", "map", "26379", "--destination", "redis"]);
  deepEqual([code, out[0]], [0, "Added port mapping"]);
  match(err[0] ?? "", /^warning E3005: /);
  match(err[1] ?? "", /written all the same/);
});

Deno.test("a port map and a proxy cannot listen at one address", async () => {
  await using file = await pktriotConfig("config.json", { ...IDENTITY, proxies: { socks: { port: 31_080 } } });
  const { code, err } = await file.run([...MAP, "31080", "--destination", "a"]);
  equal(code, 1);
  match(err.join("\n"), /^error E5010: The SOCKS5 proxy 127\.0\.0\.1:31080 is there already\. /);
  equal((await file.run([...MAP, "31080", "--destination", "a", "--bind", "127.0.0.2"])).code, 0);
});
