import { deepEqual, equal, throws } from "node:assert/strict";
import { parseDomain } from "./parse_domain.ts";
import { formatDuration, parseDuration } from "./parse_duration.ts";
import { formatHostPort, parseHostPort } from "./parse_listen.ts";
import { parsePortRange } from "./parse_port_range.ts";

Deno.test("parseDomain() gives the one spelling of a name", () => {
  equal(parseDomain("Blog.Example.com."), "blog.example.com");
  equal(parseDomain("bücher.example.com"), "xn--bcher-kva.example.com");
  equal(parseDomain("app.localhost"), "app.localhost");
});

const BAD_DOMAINS = [
  "",
  "blog",
  "http://blog.example.com",
  "blog.example.com:80",
  "*.example.com",
  "-a.example.com",
  "a..example.com",
  "192.168.1.1",
  "a b.example.com",
  "a%2eexample.com",
  `${"a".repeat(64)}.example.com`,
  "xn--zzzzzz.example.com",
];

for (const text of BAD_DOMAINS) {
  Deno.test(`parseDomain() refuses "${text}"`, () => {
    throws(() => parseDomain(text), { kind: "NAME_INVALID" });
  });
}

Deno.test("parseDuration() reads a number with its unit", () => {
  deepEqual(["500ms", "30s", "10m", "24h", "7d"].map(parseDuration), [500, 30_000, 600_000, 86_400_000, 604_800_000]);
  deepEqual(["", "30", "s", "-1s", "1.5h", "1h30m", "1 h", "9999999999s"].map(parseDuration), Array(8).fill(undefined));
});

Deno.test("formatDuration() writes what parseDuration() reads", () => {
  for (const text of ["500ms", "90s", "10m", "1d", "36h"]) equal(formatDuration(parseDuration(text) ?? 0), text);
});

Deno.test("parseHostPort() reads names, addresses and every address", () => {
  deepEqual(parseHostPort("example.com:443"), { hostname: "example.com", port: 443 });
  deepEqual(parseHostPort("[2001:db8::1]:443"), { hostname: "2001:db8::1", port: 443 });
  deepEqual(parseHostPort(":80"), { hostname: "", port: 80 });
  deepEqual(parseHostPort("127.0.0.1:0"), { hostname: "127.0.0.1", port: 0 });
  for (const text of ["80", "a:b", "a:99999", "2001:db8::1:443", "a b:1", "http://a:80", "a:80/x"]) {
    equal(parseHostPort(text), undefined, text);
  }
});

Deno.test("formatHostPort() puts brackets around IPv6", () => {
  equal(formatHostPort({ hostname: "::1", port: 80 }), "[::1]:80");
  equal(formatHostPort({ hostname: "a", port: 80 }), "a:80");
});

Deno.test("parsePortRange() reads a range or one port", () => {
  deepEqual(parsePortRange("22000-22999"), { from: 22_000, to: 22_999 });
  deepEqual(parsePortRange("80"), { from: 80, to: 80 });
  for (const text of ["", "0-1", "2-1", "1-70000", "a-b", "1-", "1-2-3"]) equal(parsePortRange(text), undefined, text);
});
