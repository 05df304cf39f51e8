import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { CodedError, type Enrolment } from "../mod.ts";
import { parseAddress } from "../net/address.ts";
import { DataChannel } from "../net/data_channel.ts";
import {
  connectTcp,
  eventually,
  httpTarget,
  programTest,
  run,
  startServer,
  startTunnel,
  type TcpTarget,
  tcpTarget,
  type TestServer,
  type TestTunnel,
  within,
} from "./harness.ts";
import { startRedis } from "./harness/databases.ts";
import { dnsServer } from "./harness/dns.ts";
import { openDoors, portMap, proxy } from "./harness/mesh.ts";
import { dialData, RawClient } from "./harness/raw_client.ts";

programTest(
  "hosts beside the server are reached by the names and networks of the allow-list, and by nothing else",
  ["dnsmasq", "redis-server", "redis-cli", "curl"],
  async () => {
    await using dns = await dnsServer();
    await dns.set("address=/db.srv.test/127.0.0.1", "address=/apps.srv.test/127.0.0.1", "address=/srv.test/127.0.0.7");
    await using redis = await startRedis();
    await using web = await httpTarget(() => new Response("web"));
    await using third = await tcpTarget((wire) => wire.send("third"), { host: "127.0.0.3" });
    await using six = await tcpTarget((wire) => wire.send("six"), { host: "::1" });
    const allow = [
      ...["db.srv.test", `*.apps.srv.test:${web.port}`, "other.srv.test", "nowhere.test"],
      ...[redis, web].map(({ port }) => `127.0.0.1:${port}`),
      ...["127.0.0.2/31", `[::1]:${six.port}`],
    ];
    await using server = await startServer({ mesh: { allow, resolvers: [dns.address] } });
    await using here = await startTunnel(server);
    const [map = 0, toThird = 0, toSix = 0, socks = 0, http = 0] = await openDoors(here, ...[
      ...[`db.srv.test:${redis.port}`, `127.0.0.3:${third.port}`, `[::1]:${six.port}`].map(portMap),
      ...[proxy("socks"), proxy("http")],
    ]);
    const cli = async (...args: string[]) => (await run("redis-cli", ["-p", `${map}`, ...args])).stdout;
    assert.deepEqual([await cli("set", "a", "b"), await cli("get", "a")], ["OK\n", "b\n"]);
    for (const [port, text] of [[toThird, "third"], [toSix, "six"]] as const) {
      await using wire = await connectTcp(port);
      assert.equal((await wire.readToEnd()).text, text);
    }
    const ways = [["--socks5-hostname", `127.0.0.1:${socks}`], ["-p", "--proxy", `http://127.0.0.1:${http}`]];
    const curl = (...args: string[]) => run("curl", ["-sS", "--max-time", "20", "--noproxy", "", ...args]);
    for (const way of ways) {
      for (const host of ["blog.apps.srv.test", "a.b.apps.srv.test", "BLOG.apps.SRV.test.", "127.0.0.1"]) {
        const { stdout, stderr } = await curl(...way, `http://${host}:${web.port}/`);
        assert.equal(stdout, "web", `${host}: ${stderr}`);
      }
    }
    const refusals = [
      ["apps.srv.test", web.port, "E4019"], // Only what is below it.
      ["blog.apps.srv.test", redis.port, "E4019"], // Not at this port.
      ["127.0.0.1", third.port, "E4019"],
      ["127.0.0.4", third.port, "E4019"],
      ["other.srv.test", web.port, "E4021"], // It leads to an address that no entry has.
      ["nowhere.test", web.port, "E2003"],
    ] as const;
    for (const [host, port, code] of refusals) {
      await assert.rejects(here.tunnel.connect({ transport: "tcp", host, port }), { code }, host);
    }
    // What the name stands for is asked for every stream.
    await dns.set("address=/db.srv.test/127.0.0.9");
    await assert.rejects(here.tunnel.connect(portMap(`db.srv.test:${redis.port}`).destination), { code: "E4021" });
    await dns.set("address=/db.srv.test/127.0.0.1");
    assert.equal(await cli("get", "a"), "b\n");
  },
);

/** Names that lead, or seem to lead, to this machine; the allow-list has all of them. */
const EVIL_RECORDS: readonly (readonly [name: string, ...addresses: string[]])[] = [
  ["loop.evil.test", "127.0.0.1"],
  ["other.evil.test", "127.8.9.10"],
  ["zero.evil.test", "0.0.0.0"],
  ["six.evil.test", "::1"],
  ["any.evil.test", "::"],
  ["mapped.evil.test", "::ffff:127.0.0.1"],
  ["nat.evil.test", "64:ff9b::7f00:1"],
  ["compatible.evil.test", "::127.0.0.1"],
  // Those that are permitted by name, with one behind them that is not: whoever rebinds gives both.
  ["two.evil.test", "10.255.255.1", "127.0.0.1"],
  ["back.evil.test", "127.0.0.1", "10.255.255.1"],
  ["both.evil.test", "10.255.255.1", "::1"],
  ["meta.evil.test", "169.254.169.254"],
  ["localhost", "127.0.0.1"],
];

/** Spellings of this machine's own address. */
const SPELLINGS: readonly string[] = [
  ...["127.0.0.1", "127.0.0.1.", "127.1", "127.0.1", "127.000.000.001", "127.255.255.254"],
  ...["2130706433", "0x7f000001", "0x7f.0.0.1", "0X7F.1", "0177.0.0.1", "017700000001", "0", "0.0.0.0", "00.0.0.0"],
  ...["::1", "[::1]", "0:0:0:0:0:0:0:1", "::", "::ffff:127.0.0.1", "::ffff:7f00:1", "::FFFF:127.1", "::127.0.0.1"],
  ...["64:ff9b::7f00:1", "2002:7f00:1::1", "::1%lo", "fe80::1%lo"],
  ...["localhost", "LOCALHOST", "localhost.", "localhost.evil.test.", "loop.evil.test.", "LOOP.Evil.Test"],
  ...[
    "alias.evil.test",
    "①②⑦.⓪.⓪.①",
    "127。0。0。1",
    "127.0.0.1\0.evil.test",
    "127.0.0.1 ",
    "user@127.0.0.1",
    "127.0.0.1/8",
  ],
  ...["169.254.169.254", "[fd00:ec2::254]"],
  ...EVIL_RECORDS.map(([name]) => name),
];

/** Tries to go somewhere; gives why that cannot be, or `connected`. */
type Way = (host: string, port: number) => Promise<string>;

/** By a client driven by hand, which sends what it is given. */
async function byHand(server: TestServer, { identity }: TestTunnel): Promise<{ way: Way } & AsyncDisposable> {
  const client = await RawClient.dial(server.tlsPort, identity);
  const { session, secret } = await client.join({ role: "use", instance: "by-hand" });
  const dial = { credential: `${session}.${secret}`, opener: "client" };
  return {
    async way(host, port) {
      const { transport, initial } = await dialData(server.tlsPort, identity, dial);
      const channel = new DataChannel(transport, {
        ...{ client: true, opener: true, secure: true, initial },
        ...{ onIdle() {}, onClosed() {} },
      });
      try {
        await within(channel.connect({ transport: "tcp", host, port }).opened(), `an answer for ${host}`);
        return "connected";
      } catch (error) {
        return error instanceof CodedError ? error.code : String(error);
      } finally {
        transport.reset();
        await transport.closed;
      }
    },
    [Symbol.asyncDispose]: () => client[Symbol.asyncDispose](),
  };
}

/** Through the API. */
function byTunnel({ tunnel }: TestTunnel): Way {
  return async (host, port) => {
    try {
      (await tunnel.connect({ transport: "tcp", host, port })).reset();
      return "connected";
    } catch (error) {
      return error instanceof CodedError ? error.code : String(error);
    }
  };
}

/** Through a SOCKS5 proxy: with the host as a domain, or as an address if it is one; with a tunnel's id and token where they are asked for. */
function bySocks(door: number, form: "domain" | "address", identity?: Enrolment): Way {
  const login = identity === undefined ? [] : [1, ...counted(identity.tunnel), ...counted(identity.token)];
  const greeting = [5, 1, identity === undefined ? 0 : 2];
  return async (host, port) => {
    const bytes = form === "domain" ? Buffer.from(host.slice(0, 255)) : addressBytes(host);
    if (bytes === null) return "not an address";
    const type = form === "domain" ? [3, bytes.length] : [bytes.length === 4 ? 1 : 4];
    await using wire = await connectTcp(door);
    await wire.send(Uint8Array.from([...greeting, ...login, 5, 1, 0, ...type, ...bytes, port >> 8, port & 255]));
    await wire.readExactly(identity === undefined ? 2 : 4);
    const [, reply] = await wire.readExactly(10);
    return reply === 0 ? "connected" : `reply ${reply}`;
  };
}

function counted(text: string): number[] {
  return [text.length, ...Buffer.from(text)];
}

/** Through an HTTP proxy. */
function byConnect(door: number, identity?: Enrolment): Way {
  const login = identity === undefined
    ? ""
    : `Proxy-Authorization: Basic ${btoa(`${identity.tunnel}:${identity.token}`)}\r\n`;
  return async (host, port) => {
    const at = host.includes(":") && !host.startsWith("[") ? `[${host}]` : host;
    await using wire = await connectTcp(door);
    await wire.send(Buffer.from(`CONNECT ${at}:${port} HTTP/1.1\r\nHost: ${at}:${port}\r\n${login}\r\n`));
    const line = await wire.readUntil("\r\n");
    return line.includes(" 200 ") ? "connected" : line.trim();
  };
}

/** The bytes of an address as SOCKS sends them; mapped ones as they are written. */
function addressBytes(host: string): Uint8Array | null {
  const bare = host.replace(/^\[|\]$/g, "");
  const address = parseAddress(bare);
  if (address === null) return null;
  const mapped = address.family === 4 && bare.includes(":");
  const hex = address.value.toString(16).padStart(address.family === 4 ? 8 : 32, "0");
  return Buffer.from(mapped ? `${"0".repeat(20)}ffff${hex}` : hex, "hex");
}

/** Listens at every address of this machine. */
function canary(): Promise<TcpTarget> {
  return tcpTarget(undefined, { host: "::" });
}

programTest(
  "no spelling and no name leads to the server itself, whichever way it is asked for, with all the world allowed",
  ["dnsmasq"],
  async () => {
    await using dns = await dnsServer();
    const own = Deno.networkInterfaces().map(({ address }) => address).filter((address) => !address.startsWith("fe80"));
    await dns.set(
      ...EVIL_RECORDS.flatMap(([name, ...addresses]) => addresses.map((each) => `address=/${name}/${each}`)),
      ...own.map((address, index) => `address=/own${index}.evil.test/${address}`),
      "cname=alias.evil.test,loop.evil.test",
      "host-record=loop.evil.test,127.0.0.1",
    );
    await using listener = await canary();
    const allow = ["*.evil.test", "localhost", "*.localhost", "0.0.0.0/0", "::/0", "10.0.0.0/8"];
    const mesh = { resolvers: [dns.address], connect: true, socks: { listen: { hostname: "127.0.0.1", port: 0 } } };
    await using server = await startServer({ mesh: { ...mesh, allow } });
    await using here = await startTunnel(server);
    const { identity } = here;
    const atServer = server.server.addresses.socks?.port ?? 0;
    const [socks = 0, http = 0] = await openDoors(here, proxy("socks"), proxy("http"));
    await using raw = await byHand(server, here);
    const ways: Record<string, Way> = {
      ...{ raw: raw.way, tunnel: byTunnel(here), connect: byConnect(http) },
      ...{ domain: bySocks(socks, "domain"), address: bySocks(socks, "address") },
      serverConnect: byConnect(server.httpPort, identity),
      ...{ serverDomain: bySocks(atServer, "domain", identity), serverAddress: bySocks(atServer, "address", identity) },
    };
    const hosts = [...SPELLINGS, ...own, ...own.map((_, index) => `own${index}.evil.test`)];
    for (const [name, way] of Object.entries(ways)) {
      for (const host of hosts) {
        const outcome = await way(host, listener.port);
        assert.notEqual(outcome, "connected", `${host} by ${name}`);
        // For what it is, and not for some fault on the way.
        if (name === "raw") assert.match(outcome, /^E(4018|4021|2003)$/, host);
      }
    }
    assert.equal(listener.connections.length, 0, "nobody came");
    // What only the list keeps away comes in once it has an entry for it: these ways do lead here.
    server.server.updateMesh({ ...mesh, allow: [...allow, `127.0.0.1:${listener.port}`] });
    for (const [name, way] of Object.entries(ways)) {
      for (const host of ["127.0.0.1", "::ffff:127.0.0.1", "loop.evil.test", "alias.evil.test"]) {
        if (name.toLowerCase().endsWith("address") && host.endsWith("test")) continue;
        const before = listener.connections.length;
        assert.equal(await way(host, listener.port), "connected", `${host} by ${name}`);
        await eventually(() => listener.connections.length === before + 1, "a connection");
      }
    }
  },
);

Deno.test("the server's own listeners are never reached, though the list has their addresses", async () => {
  const listen = { hostname: "127.0.0.1", port: 0 };
  await using server = await startServer({ mesh: { allow: ["127.0.0.0/8", "::1"], socks: { listen } } });
  await using here = await startTunnel(server);
  const { port } = await here.tunnel.request("port.allocate", {});
  const socks = server.server.addresses.socks?.port ?? 0;
  for (const each of [server.httpPort, server.tlsPort, server.adminPort, socks, port]) {
    for (const host of ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"]) {
      await assert.rejects(here.tunnel.connect({ transport: "tcp", host, port: each }), { code: "E4021" }, `${each}`);
    }
  }
});
