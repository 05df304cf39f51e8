import assert from "node:assert/strict";
import { authoritativeServers, type DnsLookup, type NameServer, waitForTxt } from "./dns_propagation.ts";

const RECORD = "_acme-challenge.blog.example.com";
const signal = new AbortController().signal;

/** A DNS of `name type` to records; `@address` behind the type is the answer of that server alone. */
function dns(records: Record<string, string[] | (() => string[])>): DnsLookup {
  return (name, type, { nameServer }) => {
    const at = nameServer === undefined ? "" : `@${nameServer.ipAddr}`;
    const answer = records[`${name} ${type}${at}`];
    if (answer === undefined) return Promise.reject(new Deno.errors.NotFound("no records"));
    return new Promise((resolve) => resolve(typeof answer === "function" ? answer() : answer));
  };
}

function unreachable(): never {
  throw new Error("timeout");
}

Deno.test("authoritativeServers() finds those of the zone that the record is in, behind an alias too", async () => {
  const lookup = dns({
    "example.com NS": ["ns1.example.net", "ns2.example.net"],
    "ns1.example.net A": ["192.0.2.1"],
    "ns1.example.net AAAA": ["2001:db8::1"],
    "ns2.example.net A": ["192.0.2.2"],
    "_acme-challenge.www.example.com CNAME": ["abc.acme.example.org."],
    "acme.example.org NS": ["ns.example.org"],
    "ns.example.org A": ["192.0.2.9"],
  });
  function addresses(servers: readonly NameServer[]): string[] {
    return servers.map(({ ipAddr, port }) => `${ipAddr} ${port}`);
  }
  assert.deepEqual(addresses(await authoritativeServers(RECORD, lookup, signal)), [
    ...["192.0.2.1 53", "2001:db8::1 53", "192.0.2.2 53"],
  ]);
  const behindAlias = await authoritativeServers("_acme-challenge.www.example.com", lookup, signal);
  assert.deepEqual(addresses(behindAlias), ["192.0.2.9 53"]);
});

Deno.test("waitForTxt() waits for every name server that answers", async () => {
  let looks = 0;
  const lookup = dns({
    [`${RECORD} TXT@192.0.2.1`]: ["other", "value"],
    [`${RECORD} TXT@192.0.2.2`]: () => ++looks < 3 ? ["other"] : ["value"],
    [`${RECORD} TXT@192.0.2.3`]: unreachable,
  });
  const nameServers = ["192.0.2.1", "192.0.2.2", "192.0.2.3"].map((ipAddr) => ({ ipAddr, port: 53 }));
  await waitForTxt(RECORD, "value", { nameServers, lookup, intervalMs: 1, signal });
  assert.equal(looks, 3);
});

Deno.test("waitForTxt() asks the system's resolver when no name server can be reached", async () => {
  const lookup = dns({ [`${RECORD} TXT@192.0.2.1`]: unreachable, [`${RECORD} TXT`]: ["value"] });
  const nameServers = [{ ipAddr: "192.0.2.1", port: 53 }];
  await waitForTxt(RECORD, "value", { nameServers, lookup, intervalMs: 1, signal });
});

Deno.test("waitForTxt() gives up, saying whom it asked", async () => {
  const lookup = dns({ [`${RECORD} TXT@192.0.2.1`]: ["other"] });
  const nameServers = [{ ipAddr: "192.0.2.1", port: 53 }];
  await assert.rejects(waitForTxt(RECORD, "value", { nameServers, lookup, intervalMs: 1, timeoutMs: 5, signal }), {
    kind: "DNS_HOOK_FAILED",
    message: /_acme-challenge\.blog\.example\.com was not seen within 0\.005 s \(asked: 192\.0\.2\.1\)/,
  });
});

Deno.test("waitForTxt() stops when it is told to", async () => {
  const lookup = dns({});
  await assert.rejects(
    waitForTxt(RECORD, "value", { lookup, signal: AbortSignal.abort(new Error("enough")) }),
    /enough/,
  );
});
