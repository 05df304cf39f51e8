import assert from "node:assert/strict";
import { certificateOrders, type OrdersOptions } from "./certificate_orders.ts";

const CASES: [name: string, options: Partial<OrdersOptions>, covered: string[], wanted: string[]][] = [
  ["the endpoint's own name", {}, [], ["http-01|tls-alpn-01: d.test"]],
  ["nothing that the operator has", {}, ["d.test"], []],
  ["the wildcard when DNS records can be set", { hasDnsHook: true }, [], ["dns-01: *.d.test d.test"]],
  ["the wildcard unless all of it is covered", { hasDnsHook: true }, ["*.d.test"], ["dns-01: *.d.test d.test"]],
  ["no wildcard that is covered", { hasDnsHook: true }, ["*.d.test", "d.test"], []],
  ["a host name below the domain by the wildcard", { hasDnsHook: true, hostname: "t.d.test" }, [], [
    "dns-01: *.d.test d.test",
  ]],
  [
    "a host name two labels below on its own",
    { hasDnsHook: true, hostname: "a.b.d.test" },
    [],
    ["dns-01: *.d.test d.test", "http-01|tls-alpn-01: a.b.d.test"],
  ],
  ["a host name elsewhere", { hostname: "t.other.test" }, [], ["http-01|tls-alpn-01: t.other.test"]],
  [
    "each custom domain on its own, once",
    { customDomains: ["shop.test", "www.shop.test", "d.test", "shop.test"] },
    ["www.shop.test"],
    ["http-01|tls-alpn-01: d.test", "http-01|tls-alpn-01: shop.test"],
  ],
  [
    "no name that no authority has certificates for",
    { domain: "localhost", hostname: "localhost", hasDnsHook: true, customDomains: ["intranet", "shop.test"] },
    [],
    ["http-01|tls-alpn-01: shop.test"],
  ],
  [
    "no custom domain that only looks as if it were below the domain",
    { hasDnsHook: true, customDomains: ["xd.test", "a.d.test"] },
    [],
    ["dns-01: *.d.test d.test", "http-01|tls-alpn-01: xd.test"],
  ],
];

for (const [name, options, covered, expected] of CASES) {
  Deno.test(`certificateOrders() asks for ${name}`, () => {
    const orders = certificateOrders({
      ...{ domain: "d.test", hostname: "d.test", hasDnsHook: false },
      ...options,
      isCovered: (name) => covered.includes(name),
    });
    assert.deepEqual(orders.map(({ names, challenge }) => `${challenge.join("|")}: ${names.join(" ")}`), expected);
  });
}
