import assert from "node:assert/strict";
import { createDns, type DnsQuery, parseResolver } from "./dns.ts";
import { describeMismatch, proves } from "./dns_proof.ts";

const NEVER = new AbortController().signal;

Deno.test("parseResolver() reads addresses with and without port", () => {
  assert.deepEqual(parseResolver("1.1.1.1"), { ipAddr: "1.1.1.1", port: 53 });
  assert.deepEqual(parseResolver("127.0.0.1:5353"), { ipAddr: "127.0.0.1", port: 5353 });
  assert.deepEqual(parseResolver("2606:4700::1111"), { ipAddr: "2606:4700::1111", port: 53 });
  assert.deepEqual(parseResolver("[::1]:5353"), { ipAddr: "::1", port: 5353 });
});

for (
  const text of ["", "dns.example.com", "1.1.1", "1.1.1.1:0", "1.1.1.1:65536", "1.1.1.1:", "[::1", "::1]:53", "a b"]
) {
  Deno.test(`parseResolver() refuses ${JSON.stringify(text)}`, () => {
    assert.throws(() => parseResolver(text), { kind: "CONFIG_INVALID" });
  });
}

Deno.test("txt() asks every resolver for exactly this name, and joins the strings of a record", async () => {
  const asked: unknown[] = [];
  const query: DnsQuery = (name, type, { nameServer }) => {
    asked.push([name, type, nameServer]);
    if (nameServer?.port === 53) return Promise.resolve([["spokes-", "verify=a"], ["other"]]);
    return Promise.reject(new Deno.errors.NotFound());
  };
  const answers = await createDns({ resolvers: ["192.0.2.1", "192.0.2.2:54"], query }).txt("_x.example.org", NEVER);
  // With the last dot: a search domain of the system must not be asked in its place.
  assert.deepEqual(asked, [
    ["_x.example.org.", "TXT", { ipAddr: "192.0.2.1", port: 53 }],
    ["_x.example.org.", "TXT", { ipAddr: "192.0.2.2", port: 54 }],
  ]);
  assert.deepEqual(answers, [
    { resolver: "192.0.2.1", records: ["spokes-verify=a", "other"] },
    { resolver: "192.0.2.2:54", records: [] },
  ]);
});

Deno.test("txt() says of a resolver that fails why, and never rejects", async () => {
  const failures = [new Deno.errors.TimedOut("proto error"), new Error("no route"), "odd"];
  const query: DnsQuery = () => Promise.reject(failures.shift());
  const dns = createDns({ resolvers: ["192.0.2.1"], query });
  for (const failure of ["it did not answer", "no route", "it cannot be asked"]) {
    assert.deepEqual(await dns.txt("example.org", NEVER), [{ resolver: "192.0.2.1", failure }]);
  }
});

Deno.test("a question ends with the signal", async () => {
  const ending = new AbortController();
  const query: DnsQuery = (_name, _type, { signal }) =>
    new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason)));
  const asked = createDns({ query }).txt("example.org", ending.signal);
  ending.abort(new Error("the server stops"));
  assert.deepEqual(await asked, [{ resolver: "the system's resolver", failure: "the server stops" }]);
});

Deno.test("addresses() gives what is known, and nothing when nobody knows", async () => {
  const known = createDns({
    query: (_name, type) => type === "A" ? Promise.resolve(["192.0.2.7"]) : Promise.reject(new Deno.errors.NotFound()),
  });
  assert.deepEqual(await known.addresses("example.org", NEVER), ["192.0.2.7"]);
  const unknown = createDns({ query: () => Promise.reject(new Deno.errors.TimedOut()) });
  assert.deepEqual(await unknown.addresses("example.org", NEVER), []);
});

Deno.test("proves() wants one record that is exactly the value", () => {
  const value = "spokes-verify=abc";
  const answers = (...records: string[]) => [{ resolver: "a", failure: "x" }, { resolver: "b", records }];
  assert.equal(proves(answers("other", value), value), true);
  for (const wrong of ["", "spokes-verify=ab", `${value} `, `"${value}"`, value.toUpperCase(), `${value}d`]) {
    assert.equal(proves(answers(wrong), value), false, wrong);
  }
  assert.equal(proves(answers(), value), false);
});

const NAME = "_spokes-challenge.example.org";
const MISMATCHES: [name: string, answers: Parameters<typeof describeMismatch>[1], sentence: string][] = [
  [
    "no record",
    [{ resolver: "a", records: [] }, { resolver: "b", records: [] }],
    `there is no TXT record at ${NAME} yet`,
  ],
  [
    "another record",
    [{ resolver: "a", records: ["x y", "z\n"] }],
    `the TXT record at ${NAME} is "x y", "z\\n", and not the value of this tunnel`,
  ],
  [
    "many records",
    [{ resolver: "a", records: ["1", "2", "3", "4", "5"] }],
    `the TXT record at ${NAME} is "1", "2", "3" and 2 more, and not the value of this tunnel`,
  ],
  [
    "resolvers that disagree",
    [{ resolver: "a", records: [] }, { resolver: "b", failure: "it did not answer" }],
    `a: there is no TXT record at ${NAME} yet; b: the DNS could not be asked for the TXT record of ${NAME}: it did not answer`,
  ],
];

for (const [name, answers, sentence] of MISMATCHES) {
  Deno.test(`describeMismatch() tells ${name}`, () => {
    assert.equal(describeMismatch(NAME, answers), sentence);
  });
}

Deno.test("describeMismatch() is short whatever the DNS says", () => {
  const answers = Array.from({ length: 20 }, (_, index) => ({
    resolver: `r${index}`,
    records: Array.from({ length: 50 }, () => `${index}`.repeat(5_000)),
  }));
  assert.ok(describeMismatch(NAME, answers).length <= 1_000);
});
