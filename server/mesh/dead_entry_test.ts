import assert from "node:assert/strict";
import { AllowList, parseAllowEntry } from "./allow_list.ts";
import { deadEntryReason } from "./dead_entry.ts";
import { OwnAddresses } from "./own_addresses.ts";

function reasonOf(text: string, others: string[], addresses?: string[]): string | undefined {
  const own = new OwnAddresses({
    names: [],
    interfaces: () => ["127.0.0.1", "::1", "10.9.9.9"],
    ports: () => [{ from: 80, to: 80 }, { from: 443, to: 443 }, { from: 22_000, to: 22_999 }],
    lookUp: () => Promise.resolve([]),
  });
  const allow = new AllowList([text, ...others]);
  return deadEntryReason(parseAllowEntry(text), { allow, own, ...(addresses && { addresses }) });
}

const CASES: [entry: string, others: string[], addresses: string[] | undefined, reason: RegExp | undefined][] = [
  ["127.0.0.1:80", [], undefined, /127\.0\.0\.1:80 is this server itself, which is never reached/],
  ["10.9.9.9:443", [], undefined, /this server itself/],
  ["127.0.0.0/8:22000-22010", [], undefined, /this server itself/],
  ["127.0.0.1:5432", [], undefined, undefined],
  ["127.0.0.1", [], undefined, undefined],
  ["127.0.0.1:79-81", [], undefined, undefined],
  ["10.1.1.1:443", [], undefined, undefined],
  ["0.0.0.0/0:443", [], undefined, undefined],
  ["10.0.0.0/8:443", [], undefined, undefined],
  ["localhost", [], undefined, /is loopback: only an entry by address within/],
  ["localhost:5432", ["127.0.0.1:5433"], undefined, /is loopback/],
  ["localhost:5432", ["127.0.0.1:5432"], undefined, undefined],
  ["localhost", ["127.0.0.1:5432"], undefined, undefined],
  ["*.localhost:5432", [], undefined, /is loopback/],
  ["db.srv.local", [], undefined, undefined],
  ["db.srv.local", [], ["127.0.0.1"], /is loopback/],
  ["db.srv.local", [], ["10.1.1.1"], undefined],
  ["db.srv.local", [], ["10.9.9.9"], /is an address of the server: only an entry for this very address/],
  ["db.srv.local", ["10.9.9.9"], ["10.9.9.9"], undefined],
  ["mail.srv.local:25", [], ["10.1.1.1"], /port 25 is for mail: only an entry by address and port/],
];

for (const [entry, others, addresses, expected] of CASES) {
  const name = `${[entry, ...others].join(", ")}${addresses === undefined ? "" : ` at ${addresses}`}`;
  Deno.test(`deadEntryReason() of ${name}: ${expected === undefined ? "may work" : "never works"}`, () => {
    const reason = reasonOf(entry, others, addresses);
    if (expected === undefined) assert.equal(reason, undefined);
    else assert.match(reason ?? "", expected);
  });
}
