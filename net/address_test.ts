import assert from "node:assert/strict";
import { isIPv4, isIPv6 } from "node:net";
import fc from "fast-check";
import { CodedError } from "../protocol/errors.ts";
import {
  addressGroup,
  addressMatcher,
  canonicalNetwork,
  isLoopback,
  networkContains,
  parseAddress,
  parseNetwork,
} from "./address.ts";

const ADDRESSES: readonly [text: string, canonical: string | null][] = [
  ["127.0.0.1", "127.0.0.1"],
  ["255.255.255.255", "255.255.255.255"],
  ["0.0.0.0", "0.0.0.0"],
  ["::1", "::1"],
  ["::", "::"],
  ["2001:DB8:0:0:0:0:0:1", "2001:db8::1"],
  ["2001:db8:0:1:0:0:0:1", "2001:db8:0:1::1"],
  ["::ffff:1.2.3.4", "1.2.3.4"],
  ["::FFFF:102:304", "1.2.3.4"],
  ["64:ff9b::1.2.3.4", "64:ff9b::102:304"],
  ...[
    ...[
      "",
      " ",
      "1.2.3",
      "1.2.3.4.5",
      "010.0.0.1",
      "1.2.3.04",
      "0x7f.1",
      "0x7f000001",
      "2130706433",
      "127.1",
      "256.1.1.1",
    ],
    ...[
      "1.2.3.4 ",
      " 1.2.3.4",
      "1.2.3.4\n",
      "1.2.3.4:80",
      "[::1]",
      "::1%eth0",
      "fe80::1%1",
      ":::",
      "1::2::3",
      "::g",
      "12345::",
    ],
    ...[
      "::1.2.3",
      "::1.2.3.04",
      "::ffff:0x7f.1",
      "1:2:3:4:5:6:7:8:9",
      "1:2:3:4:5:6:7",
      "::1/64",
      "localhost",
      "１.2.3.4",
    ],
    ...["1.2.3.4::", "1:2:3:4:5:6:7:1.2.3.4", "::ffff:1.2.3.4.5", "0".repeat(100)],
  ].map((text): [string, null] => [text, null]),
];
for (const [text, canonical] of ADDRESSES) {
  Deno.test(`parseAddress(${JSON.stringify(text.slice(0, 30))}) is ${canonical}`, () => {
    assert.equal(parseAddress(text)?.text ?? null, canonical);
  });
}

Deno.test("parseAddress() agrees with the strict reader of the platform, and its spelling reads as the same address", () => {
  const text = fc.oneof(
    fc.ipV4(),
    fc.ipV6(),
    fc.string({ unit: fc.constantFrom(..."0123456789abcdfx:."), maxLength: 24 }),
    fc.array(fc.stringMatching(/^[0-9a-f]{0,5}$/), { maxLength: 9 }).map((parts) => parts.join(":")),
    fc.array(fc.integer({ min: -1, max: 300 }), { minLength: 3, maxLength: 5 }).map((parts) => parts.join(".")),
  );
  fc.assert(
    fc.property(text, (candidate) => {
      const address = parseAddress(candidate);
      assert.equal(address !== null, isIPv4(candidate) || isIPv6(candidate), candidate);
      if (address !== null) assert.deepEqual(parseAddress(address.text), address);
    }),
    { numRuns: 2_000 },
  );
});

const NETWORKS: readonly [text: string, canonical: string][] = [
  ["203.0.113.7", "203.0.113.7"],
  ["203.0.113.7/32", "203.0.113.7"],
  ["10.1.2.3/8", "10.0.0.0/8"],
  ["10.1.2.3/0", "0.0.0.0/0"],
  ["::/0", "::/0"],
  ["2001:db8:ffff::1/32", "2001:db8::/32"],
  ["2001:db8::1/128", "2001:db8::1"],
  ["::ffff:10.1.2.3", "10.1.2.3"],
  ["::ffff:10.1.2.3/104", "10.0.0.0/8"],
  ["::ffff:0:0/96", "0.0.0.0/0"],
];
for (const [text, canonical] of NETWORKS) {
  Deno.test(`canonicalNetwork("${text}") is ${canonical}`, () => assert.equal(canonicalNetwork(text), canonical));
}

for (
  const text of [
    ...[
      "",
      "/",
      "10.0.0.0/",
      "10.0.0.0/33",
      "::/129",
      "10.0.0.0/08",
      "10.0.0.0/+8",
      "10.0.0.0/8/8",
      "10.0.0.0/8 ",
      "10/8",
    ],
    ...[
      "10.0.0.0/-1",
      "10.0.0.0/1e1",
      "10.0.0.0/255.0.0.0",
      "example.org",
      "fe80::1%eth0/64",
      "::ffff:1.2.3.4/95",
      "*",
    ],
  ]
) {
  Deno.test(`parseNetwork("${text}") is NETWORK_INVALID`, () => {
    assert.throws(() => parseNetwork(text), (error) => error instanceof CodedError && error.kind === "NETWORK_INVALID");
  });
}

Deno.test("networkContains() compares the leading bits, within one family", () => {
  const contains = (network: string, address: string) => networkContains(parseNetwork(network), parseAddress(address)!);
  assert.equal(contains("10.0.0.0/9", "10.127.255.255"), true);
  assert.equal(contains("10.0.0.0/9", "10.128.0.0"), false);
  assert.equal(contains("0.0.0.0/0", "::ffff:8.8.8.8"), true);
  assert.equal(contains("::/0", "8.8.8.8"), false);
  assert.equal(contains("0.0.0.0/0", "::1"), false);
  assert.equal(contains("2001:db8::/33", "2001:db8:8000::"), false);
});

Deno.test("addressMatcher() knows its networks, and never matches for none or for no address", () => {
  const matches = addressMatcher(["10.0.0.0/8", "::1"]);
  assert.deepEqual(["10.9.8.7", "::ffff:10.0.0.1", "::1", "11.0.0.1", "nonsense"].map(matches), [
    ...[true, true, true, false, false],
  ]);
  assert.equal(addressMatcher([])("127.0.0.1"), false);
});

Deno.test("addressGroup() is the IPv4 address or the IPv6 /64", () => {
  assert.equal(addressGroup("::ffff:192.0.2.1"), "192.0.2.1");
  assert.equal(addressGroup("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::/64");
  assert.equal(addressGroup("2001:db8:1:2:ffff::1"), addressGroup("2001:db8:1:2::"));
  assert.equal(addressGroup("unix"), "unix");
});

Deno.test("isLoopback() knows 127.0.0.0/8 and ::1 in every spelling", () => {
  for (const text of ["127.0.0.1", "127.255.255.255", "::1", "0:0:0:0:0:0:0:1", "::ffff:127.0.0.1"]) {
    assert.ok(isLoopback(text));
  }
  for (const text of ["128.0.0.1", "0.0.0.0", "::", "::2", "127.1", "localhost"]) assert.ok(!isLoopback(text));
});
