import assert from "node:assert/strict";
import { wantedCertificates, type WantedOptions } from "./wanted_certificates.ts";

const CASES: [name: string, options: Partial<WantedOptions>, covered: string[], wanted: string[]][] = [
  ["the endpoint's own name", {}, [], ["edge: d.test"]],
  ["nothing that the operator has", {}, ["d.test"], []],
  ["the wildcard when DNS records can be set", { hasDnsHook: true }, [], ["dns: *.d.test d.test"]],
  ["the wildcard unless all of it is covered", { hasDnsHook: true }, ["*.d.test"], ["dns: *.d.test d.test"]],
  ["no wildcard that is covered", { hasDnsHook: true }, ["*.d.test", "d.test"], []],
  ["a host name below the domain by the wildcard", { hasDnsHook: true, hostname: "t.d.test" }, [], [
    "dns: *.d.test d.test",
  ]],
  [
    "a host name two labels below on its own",
    { hasDnsHook: true, hostname: "a.b.d.test" },
    [],
    ["dns: *.d.test d.test", "edge: a.b.d.test"],
  ],
  ["a host name elsewhere", { hostname: "t.other.test" }, [], ["edge: t.other.test"]],
  [
    "each custom domain on its own, once",
    { customDomains: ["shop.test", "www.shop.test", "d.test", "shop.test"] },
    ["www.shop.test"],
    ["edge: d.test", "edge: shop.test"],
  ],
  [
    "no custom domain that only looks as if it were below the domain",
    { hasDnsHook: true, customDomains: ["xd.test", "a.d.test"] },
    [],
    ["dns: *.d.test d.test", "edge: xd.test"],
  ],
];

for (const [name, options, covered, expected] of CASES) {
  Deno.test(`wantedCertificates() asks for ${name}`, () => {
    const wanted = wantedCertificates({
      ...{ domain: "d.test", hostname: "d.test", hasDnsHook: false },
      ...options,
      isCovered: (name) => covered.includes(name),
    });
    assert.deepEqual(wanted.map(({ names, by }) => `${by}: ${names.join(" ")}`), expected);
  });
}
