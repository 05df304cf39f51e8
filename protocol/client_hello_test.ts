import assert from "node:assert/strict";
import net from "node:net";
import tls from "node:tls";
import fc from "fast-check";
import { type ClientHello, parseClientHello } from "./client_hello.ts";
import { MAX_CLIENT_HELLO_BYTES } from "./limits.ts";

const RUNS = Deno.env.get("SOAK") === "1" ? 500_000 : 1_000;
const CI = Deno.env.get("CI") === "true";

type Bytes = readonly number[] | Uint8Array;

function u16(value: number): number[] {
  return [value >> 8, value & 0xff];
}

function u24(value: number): number[] {
  return [value >> 16, (value >> 8) & 0xff, value & 0xff];
}

function vector16(...parts: Bytes[]): number[] {
  const body = parts.flatMap((part) => [...part]);
  return [...u16(body.length), ...body];
}

function ascii(text: string): number[] {
  return [...new TextEncoder().encode(text)];
}

function extension(type: number, body: Bytes): number[] {
  return [...u16(type), ...vector16(body)];
}

function serverName(...names: Bytes[]): number[] {
  return extension(0, vector16(...names.map((name) => [0, ...vector16(name)])));
}

function alpn(...names: string[]): number[] {
  return extension(16, vector16(...names.map((name) => [name.length, ...ascii(name)])));
}

/** The handshake message of a ClientHello with these extensions; without any the block itself is missing. */
function message(...extensions: Bytes[]): number[] {
  const body = [
    ...[3, 3],
    ...Array.from({ length: 32 }, (_, i) => i),
    ...[2, 0xaa, 0xbb],
    ...vector16([0x13, 0x01]),
    ...[1, 0],
    ...(extensions.length > 0 ? vector16(...extensions) : []),
  ];
  return [1, ...u24(body.length), ...body];
}

/** Records of at most `size` bytes of the message each. */
function records(handshake: Bytes, size = 16_384): Uint8Array {
  const bytes = [...handshake];
  const all: number[] = [];
  for (let at = 0; at < bytes.length; at += size) {
    all.push(22, 3, 1, ...vector16(bytes.slice(at, at + size)));
  }
  return Uint8Array.from(all);
}

function hello(...extensions: Bytes[]): ClientHello {
  return parseClientHello(records(message(...extensions)));
}

/** The first bytes that a real client sends to a port where nobody answers. */
async function capture(dial: (port: number) => Promise<void> | void): Promise<Uint8Array> {
  const { promise, resolve } = Promise.withResolvers<Uint8Array>();
  const server = net.createServer((socket) => {
    let bytes = new Uint8Array(0);
    socket.on("data", (chunk: Uint8Array) => {
      bytes = Uint8Array.from([...bytes, ...chunk]);
      if (bytes.length < 5 || bytes.length < 5 + bytes[3]! * 256 + bytes[4]!) return;
      socket.destroy();
      resolve(bytes);
    });
    socket.on("error", () => {
      // The client may be quicker to leave.
    });
  });
  await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
  await dial((server.address() as net.AddressInfo).port);
  const bytes = await promise;
  await new Promise((closed) => server.close(closed));
  return bytes;
}

function isProgramMissing(name: string): boolean {
  try {
    new Deno.Command(name, { args: ["version"], stdout: "null", stderr: "null" }).outputSync();
    return false;
  } catch {
    return true; // It cannot be started.
  }
}

/** What must hold for the hello of any real client: it is read whole, and every shorter part of it is incomplete. */
function assertReadable(
  bytes: Uint8Array,
  expected: { serverName: string | undefined; alpn: readonly string[] },
): void {
  assert.deepEqual(parseClientHello(bytes), { kind: "hello", ...expected });
  const end = 5 + bytes[3]! * 256 + bytes[4]!;
  for (let at = 0; at < end; at++) {
    assert.deepEqual(parseClientHello(bytes.subarray(0, at)), { kind: "incomplete" }, `cut after ${at} bytes`);
  }
  const handshake = bytes.subarray(5, end);
  for (const size of [1, 2, 3, 7, 100, 511]) {
    assert.deepEqual(parseClientHello(records(handshake, size)), { kind: "hello", ...expected }, `records of ${size}`);
  }
}

for (
  const [what, args, expected] of [
    ["with SNI and ALPN", ["-servername", "Blog.Example.COM", "-alpn", "h2,http/1.1"], {
      serverName: "blog.example.com",
      alpn: ["h2", "http/1.1"],
    }],
    ["in TLS 1.2", ["-tls1_2", "-servername", "a.example"], { serverName: "a.example", alpn: [] }],
    ["without SNI", ["-noservername"], { serverName: undefined, alpn: [] }],
  ] as const
) {
  Deno.test({
    name: `parseClientHello() reads openssl's hello ${what}, whole and in pieces`,
    ignore: !CI && isProgramMissing("openssl"),
    async fn() {
      const bytes = await capture(async (port) => {
        const command = new Deno.Command("openssl", {
          args: ["s_client", "-connect", `127.0.0.1:${port}`, ...args],
          stdin: "null",
          stdout: "null",
          stderr: "null",
        });
        await command.output();
      });
      assertReadable(bytes, expected);
    },
  });
}

Deno.test("parseClientHello() reads node:tls's hello, whole and in pieces", async () => {
  const bytes = await capture((port) => {
    const socket = tls.connect({ host: "127.0.0.1", port, servername: "node.example", ALPNProtocols: ["http/1.1"] });
    socket.on("error", () => {
      // Nobody answers it.
    });
  });
  assertReadable(bytes, { serverName: "node.example", alpn: ["http/1.1"] });
});

Deno.test("parseClientHello() reads a hello without extensions, and without a block of them", () => {
  assert.deepEqual(hello([]), { kind: "hello", serverName: undefined, alpn: [] });
  assert.deepEqual(hello(), { kind: "hello", serverName: undefined, alpn: [] });
});

Deno.test("parseClientHello() passes over extensions it does not know", () => {
  const known = [extension(0xfafa, []), serverName(ascii("a.example")), extension(21, new Uint8Array(300))];
  assert.deepEqual(hello(...known, alpn("acme-tls/1")), {
    kind: "hello",
    serverName: "a.example",
    alpn: ["acme-tls/1"],
  });
});

Deno.test("parseClientHello() does not look behind the message", () => {
  const bytes = Uint8Array.from([...records(message(serverName(ascii("a.example")))), 99, 99]);
  assert.equal(parseClientHello(bytes).kind, "hello");
});

for (
  const [what, name] of [
    ["an empty name", ""],
    ["a final dot", "a.example."],
    ["a leading dot", ".a.example"],
    ["a NUL", "a.example\0.evil.example"],
    ["a space", "a example"],
    ["a line break", "a.example\r\n"],
    ["a byte beyond ASCII", "bücher.example"],
    ["a wildcard", "*.example"],
    ["a path", "../../etc"],
    ["brackets", "[::1]"],
    ["254 characters", "a".repeat(254)],
  ] as const
) {
  Deno.test(`parseClientHello() takes ${what} for no name`, () => {
    assert.deepEqual(hello(serverName(ascii(name))), { kind: "hello", serverName: undefined, alpn: [] });
  });
}

Deno.test("parseClientHello() takes a name of another type for none", () => {
  const other = extension(0, vector16([9, ...vector16(ascii("a.example"))]));
  assert.deepEqual(hello(other), { kind: "hello", serverName: undefined, alpn: [] });
});

const INVALID: readonly (readonly [what: string, bytes: Uint8Array])[] = [
  ["an extension twice", records(message(serverName(ascii("a.example")), serverName(ascii("b.example"))))],
  ["two names", records(message(serverName(ascii("a.example"), ascii("b.example"))))],
  ["bytes behind the list of names", records(message(extension(0, [...vector16([0, ...vector16([97])]), 0])))],
  ["bytes behind the ALPN list", records(message(extension(16, [...vector16([1, 97]), 0])))],
  ["an ALPN name longer than its list", records(message(extension(16, vector16([5, 97]))))],
  ["a name longer than its list", records(message(extension(0, vector16([0, ...u16(9), 97]))))],
  ["a list longer than its extension", records(message(extension(0, u16(99))))],
  ["an empty server_name", records(message(extension(0, [])))],
  ["an extension longer than the block", records(message([0, 0, ...u16(500)]))],
  ["bytes behind the extensions", records([1, ...u24(46), ...message([]).slice(4), 0])],
  ["a message that ends within its session id", records([1, ...u24(36), ...message([]).slice(4, 40)])],
  ["another handshake message", records([2, ...u24(4), 0, 0, 0, 0])],
  ["a message too large", records([1, ...u24(MAX_CLIENT_HELLO_BYTES), ...new Uint8Array(20)])],
  ["an alert", Uint8Array.from([21, 3, 3, 0, 2, 1, 0])],
  ["an empty record", Uint8Array.from([22, 3, 1, 0, 0])],
  ["a record that is too long", Uint8Array.from([22, 3, 1, 0x40, 1])],
  ["another record in between", Uint8Array.from([...records([1, 0, 1]), 20, 3, 3, 0, 1, 1])],
  ["SSL 2", Uint8Array.from([0x80, 0x2e, 1, 0, 2])],
  ["HTTP", new TextEncoder().encode("GET / HTTP/1.1\r\n")],
  ["SSH", new TextEncoder().encode("SSH-2.0-OpenSSH_9.6\r\n")],
  ["a single wrong byte", Uint8Array.from([0x16 ^ 1])],
];

for (const [what, bytes] of INVALID) {
  Deno.test(`parseClientHello() refuses ${what}`, () => {
    assert.equal(parseClientHello(bytes).kind, "invalid");
  });
}

Deno.test("parseClientHello() takes a hello of just the limit, padded", () => {
  const bare = message(extension(21, [])).length;
  const full = message(extension(21, new Uint8Array(MAX_CLIENT_HELLO_BYTES - bare)));
  assert.equal(full.length, MAX_CLIENT_HELLO_BYTES);
  assert.equal(parseClientHello(records(full, 8_000)).kind, "hello");
});

Deno.test("parseClientHello() never throws on random bytes, nor on a hello with some bytes changed", () => {
  const good = records(message(serverName(ascii("a.example")), alpn("h2", "http/1.1"), extension(10, [0, 2, 0, 29])));
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
      parseClientHello(bytes);
      parseClientHello(Uint8Array.from([22, 3, 1, ...u16(bytes.length), ...bytes]));
      parseClientHello(records([1, ...u24(bytes.length), ...bytes]));
    }),
    { numRuns: RUNS },
  );
  const changes = fc.array(fc.tuple(fc.nat(good.length - 1), fc.nat(255)), { minLength: 1, maxLength: 4 });
  fc.assert(
    fc.property(changes, fc.nat(good.length), (all, cut) => {
      const bytes = good.slice(0, cut);
      for (const [at, value] of all) if (at < cut) bytes[at] = value;
      parseClientHello(bytes);
    }),
    { numRuns: RUNS },
  );
});
