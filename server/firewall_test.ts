import assert from "node:assert/strict";
import fc from "fast-check";
import { networkContains, parseAddress, parseNetwork } from "../net/address.ts";
import { CodedError } from "../protocol/errors.ts";
import { compileFirewall, type FirewallRule } from "./firewall.ts";

const ALLOW_OFFICE: FirewallRule = { action: "allow", network: "203.0.113.0/24" };
const DROP_DESK: FirewallRule = { action: "drop", network: "203.0.113.7" };

const CASES: readonly [title: string, rules: readonly FirewallRule[], address: string, allowed: boolean][] = [
  ["no rules let everybody in", [], "198.51.100.1", true],
  ["no rules let in what is no address", [], "unix", true],
  ["an allow lets its network in", [ALLOW_OFFICE], "203.0.113.9", true],
  ["an allow drops the rest", [ALLOW_OFFICE], "198.51.100.1", false],
  ["an allow of IPv4 drops IPv6", [ALLOW_OFFICE], "2001:db8::1", false],
  ["a drop drops its network", [DROP_DESK], "203.0.113.7", false],
  ["a drop lets the rest in", [DROP_DESK], "198.51.100.1", true],
  ["a drop of IPv4 lets IPv6 in", [DROP_DESK], "2001:db8::1", true],
  ["the more specific drop wins", [ALLOW_OFFICE, DROP_DESK], "203.0.113.7", false],
  ["the more specific allow wins", [{ action: "drop", network: "0.0.0.0/0" }, ALLOW_OFFICE], "203.0.113.7", true],
  ["both kinds drop what matches neither", [ALLOW_OFFICE, DROP_DESK], "198.51.100.1", false],
  ["drop wins on equal networks", [DROP_DESK, { action: "allow", network: "203.0.113.7/32" }], "203.0.113.7", false],
  [
    "drop wins on equal networks in the other order",
    [
      { action: "allow", network: "203.0.113.99/24" },
      { action: "drop", network: "203.0.113.0/24" },
    ],
    "203.0.113.7",
    false,
  ],
  ["a v4-mapped visitor is an IPv4 visitor", [ALLOW_OFFICE], "::ffff:203.0.113.9", true],
  ["a v4-mapped visitor does not slip past a drop", [DROP_DESK], "::ffff:cb00:7107", false],
  ["a drop of all IPv6 leaves IPv4 alone", [{ action: "drop", network: "::/0" }], "::ffff:203.0.113.9", true],
  ["IPv6 by its network", [{ action: "allow", network: "2001:db8::/32" }], "2001:db8:ffff::1", true],
  ["what is no address is dropped", [DROP_DESK], "203.0.113.7.", false],
  ["what is no address is dropped, also with a zone", [DROP_DESK], "fe80::1%eth0", false],
];
for (const [title, rules, address, allowed] of CASES) {
  Deno.test(`compileFirewall(): ${title}`, () => assert.equal(compileFirewall(rules)(address), allowed));
}

Deno.test("compileFirewall() refuses what it does not understand instead of letting in", () => {
  const wrong = [{ action: "allow", network: "10.0.0.0/33" }, { action: "accept", network: "10.0.0.0/8" }, {
    network: "::1",
  }];
  for (const rule of wrong) {
    assert.throws(() => compileFirewall([ALLOW_OFFICE, rule as FirewallRule]), CodedError);
  }
});

Deno.test("compileFirewall() decides like a naive reading of the rules", () => {
  // Few distinct bits, so that networks often nest and coincide.
  const octet = fc.constantFrom(0, 10, 128, 255);
  const ipv4 = fc.tuple(octet, octet, octet, octet).map((parts) => parts.join("."));
  const ipv6 = fc.tuple(octet, octet, octet).map((parts) =>
    `2001:${parts.map((part) => part.toString(16)).join(":")}::1`
  );
  const address = fc.oneof(ipv4, ipv6, ipv4.map((text) => `::ffff:${text}`));
  const network = fc.oneof(
    address,
    fc.tuple(ipv4, fc.integer({ min: 0, max: 32 })).map(([text, bits]) => `${text}/${bits}`),
    fc.tuple(ipv6, fc.integer({ min: 0, max: 128 })).map(([text, bits]) => `${text}/${bits}`),
  );
  const rule = fc.record({ action: fc.constantFrom<"allow" | "drop">("allow", "drop"), network });
  fc.assert(
    fc.property(
      fc.array(rule, { maxLength: 12 }),
      fc.array(address, { minLength: 1, maxLength: 6 }),
      (rules, visitors) => {
        const allows = compileFirewall(rules);
        for (const visitor of visitors) assert.equal(allows(visitor), naive(rules, visitor), visitor);
      },
    ),
    { numRuns: 1_000 },
  );
});

function naive(rules: readonly FirewallRule[], visitor: string): boolean {
  const address = parseAddress(visitor)!;
  const matching = rules
    .map(({ action, network }) => ({ action, network: parseNetwork(network) }))
    .filter(({ network }) => networkContains(network, address));
  if (matching.length === 0) return rules.every(({ action }) => action === "drop");
  const longest = Math.max(...matching.map(({ network }) => network.prefix));
  return matching.filter(({ network }) => network.prefix === longest).every(({ action }) => action === "allow");
}
