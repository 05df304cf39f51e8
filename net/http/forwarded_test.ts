import assert from "node:assert/strict";
import { Fields } from "../../protocol/http/field.ts";
import { parseRequestHead } from "../../protocol/http/head.ts";
import { canonicalAddress, forwardedFields, isSpoofable, visitorAddress, visitorProto } from "./forwarded.ts";
import { stripRequest } from "./hop_by_hop.ts";

const SPOOFED = [
  "Forwarded",
  "X-Forwarded-For",
  "X-Forwarded-Host",
  "X-Forwarded-Proto",
  "X-Forwarded-Port",
  "X-Forwarded-Anything",
  "X-Forwarded",
  "X-Real-IP",
  "X-Client-IP",
  "X-Client-Cert",
  "CF-Connecting-IP",
  "CF-Ray",
  "True-Client-IP",
  "Remote-User",
  "X-Cluster-Client-IP",
  "Proxy",
];

Deno.test("isSpoofable() knows every forwarding field in any case and with underscores", () => {
  for (const name of SPOOFED) {
    for (const spelling of [name, name.toUpperCase(), name.replaceAll("-", "_")]) {
      const { fields } = requestWith(`${spelling}: 1`);
      assert.equal(fields.size, 1, spelling);
    }
  }
  for (const name of ["x-auth-token", "authorization", "x-request-id", "cookie", "content_length"]) {
    assert.equal(isSpoofable(name), false, name);
  }
});

Deno.test("isSpoofable() takes the identity fields of an operator's gateway", () => {
  const identity = new Set(["x-auth-user"]);
  assert.equal(isSpoofable("x-auth-user", identity), true);
  assert.equal(isSpoofable("x_auth-user", identity), true);
  assert.equal(isSpoofable("x-auth-user"), false);
});

Deno.test("forwardedFields() gives single values, with IPv6 and ports quoted (RFC 7239 6)", () => {
  assert.equal(
    forwardedFields({ address: "203.0.113.9", proto: "http", host: "a.example" }).toText(),
    "X-Forwarded-For: 203.0.113.9\r\nX-Forwarded-Proto: http\r\nX-Forwarded-Host: a.example\r\n" +
      "Forwarded: for=203.0.113.9;host=a.example;proto=http\r\n",
  );
  assert.equal(
    forwardedFields({ address: "2001:db8::1", proto: "https", host: "a.example:81" }).get("forwarded"),
    'for="[2001:db8::1]";host="a.example:81";proto=https',
  );
});

Deno.test("canonicalAddress() unwraps v4-mapped addresses and refuses what only looks like one", () => {
  assert.equal(canonicalAddress("::ffff:203.0.113.9"), "203.0.113.9");
  assert.equal(canonicalAddress("::FFFF:cb00:7109"), "203.0.113.9");
  assert.equal(canonicalAddress("2001:DB8:0:0::1"), "2001:db8::1");
  for (
    const address of [
      "010.0.0.1",
      "1.2.3",
      "0x7f.1",
      "2130706433",
      "",
      "unknown",
      "_hidden",
      "fe80::1%eth0",
      "1.2.3.4:5",
    ]
  ) {
    assert.equal(canonicalAddress(address), undefined, address);
  }
});

function address(peer: string, ...values: string[]): string {
  const fields = new Fields(values.map((value) => ({ name: "X-Forwarded-For", value })));
  return visitorAddress({ peer, fields, trustedProxies: (each) => each.startsWith("10.") });
}

Deno.test("visitorAddress() believes X-Forwarded-For from trusted proxies only, right-most untrusted first", () => {
  const table = [
    ["203.0.113.9", ["198.51.100.7"], "203.0.113.9"],
    ["10.0.0.1", ["198.51.100.7"], "198.51.100.7"],
    ["::ffff:10.0.0.1", ["::ffff:198.51.100.7"], "198.51.100.7"],
    ["10.0.0.1", ["1.1.1.1, 198.51.100.7, 10.0.0.2"], "198.51.100.7"],
    ["10.0.0.1", ["1.1.1.1", "198.51.100.7"], "198.51.100.7"],
    ["10.0.0.1", ["198.51.100.7:4711"], "198.51.100.7"],
    ["10.0.0.1", ["[2001:db8::1]:4711"], "2001:db8::1"],
    ["10.0.0.1", ["2001:DB8::1"], "2001:db8::1"],
    ["10.0.0.1", ["10.0.0.3, 10.0.0.2"], "10.0.0.3"],
    ["10.0.0.1", ["198.51.100.7, unknown"], "10.0.0.1"],
    ["10.0.0.1", ["198.51.100.7, unknown, 10.0.0.2"], "10.0.0.2"],
    ["10.0.0.1", [""], "10.0.0.1"],
    ["10.0.0.1", [], "10.0.0.1"],
  ] as const;
  for (const [peer, values, expected] of table) assert.equal(address(peer, ...values), expected, `${peer} ${values}`);
});

Deno.test("visitorProto() believes trusted proxies only", () => {
  const fields = new Fields([{ name: "X-Forwarded-Proto", value: "HTTPS" }]);
  const trustedProxies = (each: string): boolean => each === "10.0.0.1";
  assert.equal(visitorProto({ peer: "10.0.0.1", fields, trustedProxies }, "http"), "https");
  assert.equal(visitorProto({ peer: "203.0.113.9", fields, trustedProxies }, "http"), "http");
  fields.set("X-Forwarded-Proto", "gopher");
  assert.equal(visitorProto({ peer: "10.0.0.1", fields, trustedProxies }, "http"), "http");
});

function requestWith(line: string): { fields: Fields } {
  const head = parseRequestHead(`GET / HTTP/1.1\r\nHost: a.example\r\n${line}\r\n\r\n`);
  stripRequest(head);
  return head;
}
