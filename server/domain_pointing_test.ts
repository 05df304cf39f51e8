import assert from "node:assert/strict";
import { assertRegistrable, edgeHost, pointingOf } from "./domain_pointing.ts";

const TARGETS = {
  hostname: "brave-otter-12345.example.net",
  edge: "edge.example.net",
  dns: { txt: () => Promise.resolve([]), addresses: () => Promise.resolve(["192.0.2.1", "2001:db8::1"]) },
  signal: new AbortController().signal,
};

Deno.test("pointingOf() names addresses at the top of a zone, and the tunnel's hostname below it", async () => {
  for (const domain of ["example.com", "example.co.uk", "me.github.io", "corp.internal"]) {
    assert.deepEqual(await pointingOf(domain, TARGETS), {
      ...{ kind: "addresses", hostname: "edge.example.net", addresses: ["192.0.2.1", "2001:db8::1"] },
    }, domain);
  }
  for (const domain of ["blog.example.com", "a.b.example.co.uk", "x.corp.internal"]) {
    assert.deepEqual(await pointingOf(domain, TARGETS), { kind: "cname", hostname: TARGETS.hostname }, domain);
  }
});

Deno.test("pointingOf() asks nobody for the address of an address", async () => {
  const pointing = await pointingOf("example.com", { ...TARGETS, edge: "203.0.113.7" });
  assert.deepEqual(pointing, { kind: "addresses", hostname: "203.0.113.7", addresses: ["203.0.113.7"] });
});

Deno.test("assertRegistrable() refuses what many people share", async () => {
  for (const domain of ["co.uk", "github.io"]) {
    await assert.rejects(assertRegistrable(domain), { kind: "NAME_NOT_ALLOWED" }, domain);
  }
  for (const domain of ["example.co.uk", "me.github.io", "corp.internal"]) await assertRegistrable(domain);
});

Deno.test("edgeHost() is the host of what clients dial", () => {
  assert.equal(edgeHost(undefined, "tunnel.example.com"), "tunnel.example.com");
  assert.equal(edgeHost("edge.example.com:8443", "tunnel.example.com"), "edge.example.com");
  assert.equal(edgeHost("203.0.113.7", "tunnel.example.com"), "203.0.113.7");
  assert.equal(edgeHost("[2001:db8::1]:443", "tunnel.example.com"), "2001:db8::1");
});
