import { deepEqual } from "node:assert/strict";
import type { DomainState } from "../../protocol/request.ts";
import { renderAddedDomain, renderDomains, renderVerifiedDomain } from "./render_domains.ts";

const PENDING: DomainState = {
  domain: "example.com",
  status: "pending",
  txt: { name: "_spokes-challenge.example.com", value: "spokes-verify=abc" },
  since: "2030-01-01T00:00:00.000Z",
};

Deno.test("renderAddedDomain() shows every record to set, ready to be copied", () => {
  const pointing = {
    kind: "addresses",
    hostname: "edge.example.net",
    addresses: ["192.0.2.1", "2001:db8::1"],
  } as const;
  deepEqual(renderAddedDomain({ ...PENDING, pointing: { ...pointing, addresses: [...pointing.addresses] } }), [
    "To prove that example.com is yours, and to bring its visitors here, set in the DNS:",
    "+------+-------------------------------+-------------------+",
    "| Type | Name                          | Value             |",
    "+------+-------------------------------+-------------------+",
    "| TXT  | _spokes-challenge.example.com | spokes-verify=abc |",
    "| A    | example.com                   | 192.0.2.1         |",
    "| AAAA | example.com                   | 2001:db8::1       |",
    "+------+-------------------------------+-------------------+",
    "The server looks for the TXT record every minute, later every 10 minutes, for 7 days; it may go when it was found.",
    "`pktriot domain verify example.com --wait` waits for it.",
  ]);
});

Deno.test("renderAddedDomain() asks for no proof of what is verified", () => {
  const added = { domain: "a.example.com", status: "verified", coveredBy: "example.com" } as const;
  deepEqual(renderAddedDomain({ ...added, pointing: { kind: "cname", hostname: "brave-otter-1.example.net" } }), [
    "a.example.com needs no proof: it is below example.com, which is verified",
    "To bring its visitors here, set in the DNS:",
    "+-------+---------------+---------------------------+",
    "| Type  | Name          | Value                     |",
    "+-------+---------------+---------------------------+",
    "| CNAME | a.example.com | brave-otter-1.example.net |",
    "+-------+---------------+---------------------------+",
  ]);
});

Deno.test("renderAddedDomain() names the server where its addresses are not known", () => {
  const lines = renderAddedDomain({
    ...PENDING,
    pointing: { kind: "addresses", hostname: "edge.example.net", addresses: [] },
  });
  deepEqual(lines.filter((line) => line.includes("edge")), [
    "| A, AAAA | example.com                   | the addresses of edge.example.net |",
  ]);
});

Deno.test("renderDomains() shows what each waits for, and nothing that moves the cursor", () => {
  const reason = 'the TXT record is "\x1b[2J"';
  const verified: DomainState = { domain: "b.org", status: "verified", since: "2030-01-02T00:00:00.000Z" };
  const lines = renderDomains([{ ...PENDING, checked: "2030-01-01T00:01:00.000Z", reason }, verified]);
  deepEqual(lines.slice(3, 5).map((line) => line.split("|").slice(1, -1).map((cell) => cell.trim())), [
    [
      ...["example.com", "pending", "_spokes-challenge.example.com", "spokes-verify=abc", "2030-01-01 00:00 UTC"],
      ...["2030-01-01 00:01 UTC", 'the TXT record is "\\x1b[2J"'],
    ],
    ["b.org", "verified", "--", "--", "2030-01-02 00:00 UTC", "--", "--"],
  ]);
  deepEqual(renderVerifiedDomain(verified), "b.org is verified");
});
