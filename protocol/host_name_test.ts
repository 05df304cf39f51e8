import assert from "node:assert/strict";
import fc from "fast-check";
import { CodedError } from "./errors.ts";
import { canonicalHost, canonicalHostSlowly, isHostName } from "./host_name.ts";

function outcome(canonical: (header: string) => string, header: string): string {
  try {
    return canonical(header);
  } catch (error) {
    if (error instanceof CodedError) return `!${error.kind}`;
    throw error;
  }
}

const LABEL = fc.stringMatching(/^[A-Za-z0-9-]{1,6}$/);
const HOSTS = fc.oneof(
  fc.string({ unit: "binary-ascii", maxLength: 40 }),
  fc.array(fc.oneof(LABEL, fc.constantFrom("xn--bcher-kva", "xn--a", "0x1", "1", "")), { maxLength: 5 })
    .map((labels) => labels.join(".")),
  fc.tuple(fc.domain(), fc.integer({ min: -1, max: 70_000 })).map(([name, port]) => `${name}:${port}`),
  fc.ipV4(),
  fc.ipV6().map((address) => `[${address}]`),
  fc.integer({ min: 240, max: 260 }).map((length) => "a.".repeat(150).slice(0, length - 1) + "b"),
);

Deno.test("canonicalHost() gives the same with and without its short cut", () => {
  fc.assert(
    fc.property(HOSTS, (header) => {
      assert.equal(outcome(canonicalHost, header), outcome(canonicalHostSlowly, header));
    }),
    { numRuns: 5_000 },
  );
});

Deno.test("canonicalHost() is idempotent and gives lower case without port and final dot", () => {
  fc.assert(fc.property(HOSTS, (header) => {
    const host = outcome(canonicalHost, header);
    if (host.startsWith("!")) return;
    assert.equal(canonicalHost(host), host);
    assert.equal(host, host.toLowerCase());
    assert.ok(host.startsWith("[") || !/:|\.$/.test(host));
  }));
});

Deno.test("canonicalHost() brings every spelling of one name to one form", () => {
  for (const header of ["blog.example.com", "BLOG.example.COM", "blog.example.com.", "Blog.Example.Com.:8080"]) {
    assert.equal(canonicalHost(header), "blog.example.com");
  }
});

Deno.test("canonicalHost() shows no control characters of a bad host in its message", () => {
  assert.throws(
    () => canonicalHost("a\x1b[2Jb"),
    (error) => error instanceof CodedError && !/\x1b/.test(error.message),
  );
});

Deno.test("isHostName() takes names only, in their canonical form", () => {
  for (const name of ["a", "a.example", "1.example", "a-b.c", "xn--bcher-kva.example", "a".repeat(63)]) {
    assert.ok(isHostName(name), name);
  }
  const refused = [
    "",
    ".",
    "a.",
    "A.example",
    "a b",
    "a_b.c",
    "-a.b",
    "a-.b",
    "a..b",
    "127.0.0.1",
    "[::1]",
    "a:80",
    "1",
    "a.0x1",
  ];
  for (const name of [...refused, "bücher.example", "xn--a.b", "a".repeat(64), `${"a.".repeat(126)}aa`]) {
    assert.ok(!isHostName(name), name);
  }
});
