import assert from "node:assert/strict";
import { parseAddress } from "../../net/address.ts";
import { AllowList } from "./allow_list.ts";
import { forbiddenReason } from "./forbidden.ts";
import { OwnAddresses } from "./own_addresses.ts";

/** A server with two addresses and three kinds of listeners. */
function ownAddresses(): OwnAddresses {
  return new OwnAddresses({
    names: [],
    addresses: ["198.18.0.1"],
    interfaces: () => ["127.0.0.1", "::1", "10.9.9.9", "93.184.216.1", "fe80::1%eth0"],
    ports: () => [80, 443, 9_400].map((port) => ({ from: port, to: port })).concat([{ from: 22_000, to: 22_999 }]),
    lookUp: () => Promise.resolve([]),
  });
}

function isForbidden(text: string, port: number, { allow, byName }: { allow: string[]; byName: boolean }): boolean {
  const address = parseAddress(text);
  assert.ok(address !== null, text);
  return forbiddenReason(address, port, { allow: new AllowList(allow), own: ownAddresses(), byName }) !== undefined;
}

const WHOLE = ["0.0.0.0/0", "::/0"];

/** Addresses that only an entry by address may open, and the entry that opens it. */
const SPECIAL: [address: string, naming: string][] = [
  ["0.0.0.0", "0.0.0.0/8"],
  ["127.0.0.1", "127.0.0.0/8"],
  ["127.8.9.10", "127.0.0.0/8"],
  ["169.254.1.1", "169.254.0.0/16"],
  ["169.254.169.254", "169.254.169.254"],
  ["100.100.100.200", "100.100.100.200/32"],
  ["168.63.129.16", "168.63.129.16"],
  ["192.0.0.1", "192.0.0.0/24"],
  ["192.0.2.1", "192.0.2.0/24"],
  ["198.18.0.9", "198.18.0.0/15"],
  ["198.51.100.1", "198.51.100.0/24"],
  ["203.0.113.1", "203.0.113.0/24"],
  ["224.0.0.1", "224.0.0.0/4"],
  ["239.255.255.250", "239.0.0.0/8"],
  ["240.0.0.1", "240.0.0.0/4"],
  ["255.255.255.255", "255.255.255.255"],
  ["::", "::"],
  ["::1", "::1"],
  ["fe80::9", "fe80::/10"],
  ["fec0::1", "fec0::/10"],
  ["ff02::1", "ff00::/8"],
  ["fd00:ec2::254", "fd00:ec2::254"],
  ["2001:db8::1", "2001:db8::/32"],
  ["64:ff9b:1::1", "64:ff9b:1::/48"],
];

for (const [address, naming] of SPECIAL) {
  Deno.test(`${address} is forbidden, by name and within 0.0.0.0/0, unless ${naming} names it`, () => {
    assert.ok(isForbidden(address, 5432, { allow: ["db.srv.local"], byName: true }));
    assert.ok(isForbidden(address, 5432, { allow: WHOLE, byName: false }));
    assert.ok(isForbidden(address, 5432, { allow: WHOLE, byName: true }));
    assert.ok(!isForbidden(address, 5432, { allow: [naming], byName: false }));
    assert.ok(!isForbidden(address, 5432, { allow: [naming, "db.srv.local"], byName: true }));
    assert.ok(
      isForbidden(address, 5432, { allow: [`${naming.includes(":") ? `[${naming}]` : naming}:1`], byName: true }),
    );
  });
}

for (const address of ["10.1.2.3", "172.16.0.1", "192.168.1.1", "100.64.0.1", "fd00::1", "fc00::1"]) {
  Deno.test(`${address} may be the answer to a name that is allowed, and by address needs an entry within its network`, () => {
    assert.ok(!isForbidden(address, 5432, { allow: ["db.srv.local"], byName: true }));
    assert.ok(isForbidden(address, 5432, { allow: WHOLE, byName: false }));
    assert.ok(!isForbidden(address, 5432, { allow: [address], byName: false }));
  });
}

Deno.test("a metadata service within a network that is named stays forbidden", () => {
  assert.ok(isForbidden("169.254.169.254", 80, { allow: ["169.254.0.0/16"], byName: false }));
  assert.ok(isForbidden("fd00:ec2::254", 8080, { allow: ["fd00::/8"], byName: false }));
  assert.ok(isForbidden("fd00:ec2::254", 8080, { allow: ["db.srv.local"], byName: true }));
});

/** Every IPv6 spelling of an IPv4 address that some host or router translates. */
const SPELLINGS: [name: string, of: (v4: string) => string][] = [
  ["v4-mapped", (v4) => `::ffff:${v4}`],
  ["NAT64", (v4) => `64:ff9b::${v4}`],
  ["6to4", (v4) => `2002:${hex(v4)}::1`],
  ["Teredo, client", (v4) => `2001:0:0808:0808:0:0:${hex(v4.split(".").map((part) => 255 - Number(part)).join("."))}`],
  ["Teredo, server", (v4) => `2001:0:${hex(v4)}:0:0:f7f7:f7f7`],
];

for (const [name, of] of SPELLINGS) {
  Deno.test(`${name}: what is within is judged as well`, () => {
    for (const v4 of ["127.0.0.1", "169.254.169.254", "0.0.0.0", "224.0.0.1"]) {
      assert.ok(isForbidden(of(v4), 5432, { allow: ["db.srv.local"], byName: true }), of(v4));
      assert.ok(isForbidden(of(v4), 5432, { allow: WHOLE, byName: false }), of(v4));
    }
    assert.ok(!isForbidden(of("8.8.4.4"), 5432, { allow: ["db.srv.local"], byName: true }), of("8.8.4.4"));
    assert.ok(isForbidden(of("93.184.216.1"), 443, { allow: WHOLE, byName: true }), "the server itself");
  });
}

Deno.test("the server itself is forbidden at its own ports, whatever names it (R19)", () => {
  const naming = ["127.0.0.0/8", "::1", "0.0.0.0", "10.9.9.9", "93.184.216.1", "198.18.0.1", "fe80::1", "::"];
  for (const port of [80, 443, 9_400, 22_000, 22_500, 22_999]) {
    for (const address of ["127.0.0.1", "127.9.9.9", "0.0.0.0", "::1", "::", ...naming.slice(3)]) {
      for (const byName of [true, false]) {
        assert.ok(isForbidden(address, port, { allow: naming, byName }), `${address}:${port}`);
      }
    }
  }
});

Deno.test("another port of the server must be named by its very address", () => {
  assert.ok(isForbidden("10.9.9.9", 5432, { allow: ["10.0.0.0/8"], byName: false }));
  assert.ok(isForbidden("10.9.9.9", 5432, { allow: ["db.srv.local"], byName: true }));
  assert.ok(isForbidden("93.184.216.1", 5432, { allow: WHOLE, byName: false }));
  assert.ok(isForbidden("93.184.216.1", 5432, { allow: ["db.example"], byName: true }));
  assert.ok(!isForbidden("10.9.9.9", 5432, { allow: ["10.9.9.9"], byName: false }));
  assert.ok(!isForbidden("127.0.0.1", 5432, { allow: ["127.0.0.0/8"], byName: false }));
});

Deno.test("mail goes only where an entry names address and port", () => {
  for (const port of [25, 465, 587]) {
    assert.ok(isForbidden("8.8.8.8", port, { allow: ["8.8.8.0/24", "mail.example"], byName: false }));
    assert.ok(isForbidden("8.8.8.8", port, { allow: ["8.8.8.0/24:1-1000"], byName: false }));
    assert.ok(isForbidden("8.8.8.8", port, { allow: [`mail.example:${port}`], byName: true }));
    assert.ok(!isForbidden("8.8.8.8", port, { allow: [`8.8.8.0/24:${port}`], byName: false }));
  }
});

Deno.test("a public address is an ordinary destination", () => {
  for (const address of ["8.8.8.8", "93.184.216.34", "2606:4700::1111"]) {
    assert.ok(!isForbidden(address, 443, { allow: WHOLE, byName: false }));
    assert.ok(!isForbidden(address, 443, { allow: ["a.example"], byName: true }));
  }
});

/** What a server knows of its own name, whose lookups answer this, one after the other. */
function namedServer(answers: readonly string[][]): { own: OwnAddresses; asked: () => number } {
  let asked = 0;
  const own = new OwnAddresses({
    names: ["tunnel.example"],
    interfaces: () => [],
    ports: () => [],
    lookUp: () => Promise.resolve(answers[asked++] ?? []),
  });
  return { own, asked: () => asked };
}

Deno.test("the names of the server are looked up again after a while, and failures forget nothing", async () => {
  const { own: named, asked } = namedServer([["203.0.113.77"], [], ["203.0.113.88"]]);
  await using own = named;
  const known = (text: string): boolean => own.has(parseAddress(text)!);
  assert.ok(!known("203.0.113.77"));
  await own.refresh(0);
  await own.refresh(1_000);
  assert.deepEqual([asked(), known("203.0.113.77")], [1, true]);
  await own.refresh(600_000);
  assert.deepEqual([asked(), known("203.0.113.77")], [2, true]);
  await own.refresh(1_200_000);
  assert.deepEqual([known("203.0.113.77"), known("203.0.113.88")], [false, true]);
});

Deno.test("as long as nothing is known of the server's names, they are looked up again soon", async () => {
  const { own: named, asked } = namedServer([[], ["203.0.113.77"]]);
  await using own = named;
  for (const now of [0, 9_999, 10_000, 20_000]) await own.refresh(now);
  assert.deepEqual([asked(), own.has(parseAddress("203.0.113.77")!)], [2, true]);
});

function hex(v4: string): string {
  const [a = 0, b = 0, c = 0, d = 0] = v4.split(".").map(Number);
  return `${(a * 256 + b).toString(16)}:${(c * 256 + d).toString(16)}`;
}
