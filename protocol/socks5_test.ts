import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import type { CodedError, ErrorName } from "./errors.ts";
import {
  readSocksCredential,
  readSocksGreeting,
  readSocksRequest,
  SOCKS_METHOD,
  socksCredentialAnswer,
  socksMethod,
  socksReply,
  socksReplyCode,
} from "./socks5.ts";

const V6 = "20010db8000000000000000000000001";

/** Messages in hexadecimal, and what they say. */
const MESSAGES: readonly [name: string, read: (bytes: Uint8Array) => unknown, hex: string, value: unknown][] = [
  ["a greeting with one method", readSocksGreeting, "050100", [0]],
  ["a greeting with three methods", readSocksGreeting, "0503000102", [0, 1, 2]],
  ["a greeting with 255 methods", readSocksGreeting, `05ff${"07".repeat(255)}`, Array(255).fill(7)],
  ["a credential", readSocksCredential, `0103${hex("bob")}06${hex("secret")}`, { user: "bob", password: "secret" }],
  ["an empty credential", readSocksCredential, "010000", { user: "", password: "" }],
  [
    "the longest credential",
    readSocksCredential,
    `01ff${"61".repeat(255)}ff${"62".repeat(255)}`,
    { user: "a".repeat(255), password: "b".repeat(255) },
  ],
  ["a credential in UTF-8", readSocksCredential, `0102${hex("ä")}03${hex("e\u0301")}`, { user: "ä", password: "é" }],
  ["an IPv4 address", readSocksRequest, "050100010a0001021538", { transport: "tcp", host: "10.0.1.2", port: 5432 }],
  ["an IPv6 address", readSocksRequest, `05010004${V6}0016`, { transport: "tcp", host: "2001:db8::1", port: 22 }],
  ["a name", readSocksRequest, `0501000305${hex("redis")}18eb`, { transport: "tcp", host: "redis", port: 6379 }],
  [
    "a name that is not canonical",
    readSocksRequest,
    `050100030c${hex("DB.Example.A")}0050`,
    { transport: "tcp", host: "db.example.a", port: 80 },
  ],
  [
    "an address as a name",
    readSocksRequest,
    `0501000309${hex("127.0.0.1")}0050`,
    { transport: "tcp", host: "127.0.0.1", port: 80 },
  ],
  ["an IPv6 address as a name", readSocksRequest, `0501000303${hex("::1")}0050`, {
    transport: "tcp",
    host: "::1",
    port: 80,
  }],
];

/** Messages that are refused, as soon as it is certain. */
const REFUSED: readonly [name: string, read: (bytes: Uint8Array) => unknown, hex: string, kind: ErrorName][] = [
  ["SOCKS4", readSocksGreeting, "04", "SOCKS_INVALID"],
  ["HTTP", readSocksGreeting, hex("GET /"), "SOCKS_INVALID"],
  ["no method", readSocksGreeting, "0500", "SOCKS_INVALID"],
  ["a credential of another version", readSocksCredential, "05", "SOCKS_INVALID"],
  ["a user that is not UTF-8", readSocksCredential, "0101ff0161", "SOCKS_INVALID"],
  ["a request of another version", readSocksRequest, "04", "SOCKS_INVALID"],
  ["BIND", readSocksRequest, "0502", "SOCKS_UNSUPPORTED"],
  ["UDP ASSOCIATE", readSocksRequest, "0503", "SOCKS_UNSUPPORTED"],
  ["a command that is none", readSocksRequest, "0500", "SOCKS_UNSUPPORTED"],
  ["an unknown type of address", readSocksRequest, "05010002", "SOCKS_ADDRESS_TYPE"],
  ["an empty name", readSocksRequest, "05010003000050", "DESTINATION_INVALID"],
  ["port 0", readSocksRequest, "050100017f0000010000", "DESTINATION_INVALID"],
  ["a name with a zero byte", readSocksRequest, "0501000302610000" + "50", "DESTINATION_INVALID"],
  ["a short address as a name", readSocksRequest, `0501000305${hex("127.1")}0050`, "DESTINATION_INVALID"],
  ["a decimal address as a name", readSocksRequest, `050100030a${hex("2130706433")}0050`, "DESTINATION_INVALID"],
  ["a hexadecimal address as a name", readSocksRequest, `050100030a${hex("0x7f000001")}0050`, "DESTINATION_INVALID"],
  ["an octal address as a name", readSocksRequest, `050100030a${hex("0177.0.0.1")}0050`, "DESTINATION_INVALID"],
];

function hex(text: string): string {
  return Buffer.from(text).toString("hex");
}

for (const [name, read, text, value] of MESSAGES) {
  Deno.test(`${name} is read when it is whole, and nothing behind it`, () => {
    const bytes = new Uint8Array(Buffer.from(text, "hex"));
    assert.deepEqual(read(bytes), { value, length: bytes.length });
    const more = new Uint8Array([...bytes, 1, 2, 3]);
    assert.deepEqual(read(more), { value, length: bytes.length });
    for (let cut = 0; cut < bytes.length; cut++) assert.equal(read(bytes.subarray(0, cut)), null, `cut after ${cut}`);
  });
}

for (const [name, read, text, kind] of REFUSED) {
  Deno.test(`${name} is refused, however little of it has come`, () => {
    const bytes = new Uint8Array(Buffer.from(text, "hex"));
    assert.throws(() => read(bytes), { kind });
    for (let cut = 0; cut < bytes.length; cut++) {
      // What has come is refused for the same reason, or not known to be wrong yet.
      try {
        assert.equal(read(bytes.subarray(0, cut)), null, `cut after ${cut}`);
      } catch (error) {
        assert.equal((error as CodedError).kind, kind, `cut after ${cut}`);
      }
    }
  });
}

Deno.test("answers are those of RFC 1928 and RFC 1929", () => {
  assert.deepEqual([...socksMethod(SOCKS_METHOD.password)], [5, 2]);
  assert.deepEqual([...socksMethod(SOCKS_METHOD.unacceptable)], [5, 255]);
  assert.deepEqual([...socksCredentialAnswer(true)], [1, 0]);
  assert.deepEqual([...socksCredentialAnswer(false)], [1, 1]);
  assert.deepEqual([...socksReply(5)], [5, 5, 0, 1, 0, 0, 0, 0, 0, 0]);
});

Deno.test("each failure has the reply that fits", () => {
  const replies: readonly [kind: ErrorName, code: number][] = [
    ["INTERNAL", 1],
    ["TUNNEL_BUSY", 1],
    ["DESTINATION_DENIED", 2],
    ["DESTINATION_FORBIDDEN", 2],
    ["MESH_DISABLED", 2],
    ["SERVER_UNREACHABLE", 3],
    ["DESTINATION_UNKNOWN", 4],
    ["DESTINATION_INVALID", 4],
    ["TUNNEL_OFFLINE", 4],
    ["TARGET_DNS", 4],
    ["TARGET_REFUSED", 5],
    ["TARGET_TIMEOUT", 6],
    ["SOCKS_UNSUPPORTED", 7],
    ["SOCKS_ADDRESS_TYPE", 8],
  ];
  for (const [kind, code] of replies) assert.equal(socksReplyCode(kind), code, kind);
});
