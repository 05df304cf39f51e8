import assert from "node:assert/strict";
import { AllowList, parseAllowEntry } from "./allow_list.ts";

const FORMS: [text: string, host: string, port: number, found: boolean][] = [
  ["10.0.0.0/8", "10.1.2.3", 5432, true],
  ["10.0.0.0/8", "11.1.2.3", 5432, false],
  ["10.0.0.0/8", "::ffff:10.1.2.3", 5432, true],
  ["192.0.2.7", "192.0.2.7", 1, true],
  ["192.0.2.7", "192.0.2.8", 1, false],
  ["10.1.0.0/16:5432", "10.1.2.3", 5432, true],
  ["10.1.0.0/16:5432", "10.1.2.3", 5433, false],
  ["10.1.0.0/16:5000-5999", "10.1.2.3", 5000, true],
  ["10.1.0.0/16:5000-5999", "10.1.2.3", 5999, true],
  ["10.1.0.0/16:5000-5999", "10.1.2.3", 6000, false],
  ["2001:db8::/32", "2001:db8::7", 443, true],
  ["[2001:db8::/32]:443", "2001:db8::7", 443, true],
  ["[2001:db8::]/32:443", "2001:db8::7", 80, false],
  ["[2001:db8::7]:443", "2001:db8::7", 443, true],
  ["db.srv.local", "db.srv.local", 5432, true],
  ["db.srv.local", "a.db.srv.local", 5432, false],
  ["db.srv.local:5432", "db.srv.local", 5433, false],
  ["postgres", "postgres", 5432, true],
  ["*.srv.local", "db.srv.local", 1, true],
  ["*.srv.local", "a.b.srv.local", 1, true],
  ["*.srv.local", "srv.local", 1, false],
  ["*.srv.local", "evilsrv.local", 1, false],
  ["*.srv.local:8000-8999", "db.srv.local", 8080, true],
  ["*.srv.local:8000-8999", "db.srv.local", 80, false],
];

for (const [text, host, port, found] of FORMS) {
  Deno.test(`an allow-list with ${text} ${found ? "has" : "has not"} ${host} at ${port}`, () => {
    assert.equal(new AllowList(["unrelated.example", text]).find(host, port)?.text, found ? text : undefined);
  });
}

Deno.test("of several entries for one name the one for the port counts", () => {
  const list = new AllowList(["db.srv.local:1", "db.srv.local:2", "*.srv.local:3"]);
  assert.deepEqual([1, 2, 3, 4].map((port) => list.find("db.srv.local", port)?.text), [
    "db.srv.local:1",
    "db.srv.local:2",
    "*.srv.local:3",
    undefined,
  ]);
});

for (
  const text of [
    ...[
      "",
      "*",
      "*.",
      "*.*.a",
      "a.*",
      ":80",
      "a:",
      "a:0",
      "a:65536",
      "a:2-1",
      "a:1-2-3",
      "a b",
      "DB.srv.local",
      "a.b.",
    ],
    ...["10.0.0.0/33", "010.0.0.1", "127.1", "2130706433", "0x7f000001", "10.0.0.0/8:x", "[a]:80", "[10.0.0.1]:80"],
    ...[
      "2001:db8::/32:443x",
      "[2001:db8::/32]443",
      "http://a.b",
      "a/b",
      "fe80::1%eth0",
      "a\u0000b",
      `${"a".repeat(64)}.b`,
    ],
  ]
) {
  Deno.test(`an allow-list refuses ${JSON.stringify(text)}`, () => {
    assert.throws(() => parseAllowEntry(text), { kind: "CONFIG_INVALID" });
  });
}
