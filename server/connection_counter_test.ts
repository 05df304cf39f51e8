import assert from "node:assert/strict";
import { ConnectionCounter } from "./connection_counter.ts";

Deno.test("admit() counts IPv4 addresses one by one, and IPv6 by /64", () => {
  const counter = new ConnectionCounter({ perAddress: 1, total: 100 });
  assert.ok(counter.admit("192.0.2.1"));
  assert.equal(counter.admit("192.0.2.1"), null);
  assert.equal(counter.admit("::ffff:192.0.2.1"), null, "the mapped spelling is the same address");
  assert.ok(counter.admit("192.0.2.2"));
  assert.ok(counter.admit("2001:db8::1"));
  assert.equal(counter.admit("2001:db8::ffff:1"), null, "the same /64");
  assert.ok(counter.admit("2001:db8:0:1::1"));
  assert.equal(counter.total, 4);
});

Deno.test("admit() makes room when a connection is gone, and counts its end only once", () => {
  const counter = new ConnectionCounter({ perAddress: 1, total: 2 });
  const first = counter.admit("192.0.2.1")!;
  counter.admit("192.0.2.2");
  first[Symbol.dispose]();
  first[Symbol.dispose]();
  assert.equal(counter.total, 1);
  assert.ok(counter.admit("192.0.2.1"));
  assert.equal(counter.admit("192.0.2.3"), null, "two in all");
});

Deno.test("admit() exempts addresses from their own limit, not from the total", () => {
  const counter = new ConnectionCounter({ perAddress: 1, total: 3, exempt: (address) => address === "127.0.0.1" });
  for (let count = 0; count < 3; count++) assert.ok(counter.admit("127.0.0.1"));
  assert.equal(counter.admit("127.0.0.1"), null);
  assert.equal(counter.admit("192.0.2.1"), null);
});

Deno.test("admit() drops early with a probability that rises to one", () => {
  const random = Math.random;
  try {
    Math.random = () => 0.49;
    const counter = new ConnectionCounter({ perAddress: 100, total: 10, dropFrom: 5 });
    let admitted = 0;
    while (counter.admit(`192.0.2.${admitted}`) !== null) admitted++;
    assert.equal(admitted, 8, "at 8 of 10 the probability is 3/5");
    Math.random = () => 0.99;
    assert.ok(counter.admit("198.51.100.1"), "a lucky one comes through");
    assert.ok(counter.admit("198.51.100.2"));
    assert.equal(counter.admit("198.51.100.3"), null, "luck ends at the total");
  } finally {
    Math.random = random;
  }
});

Deno.test("admit() forgets addresses whose connections are gone", () => {
  const counter = new ConnectionCounter({ perAddress: 1, total: 10 });
  for (let count = 0; count < 1_000; count++) counter.admit(`10.0.${count >> 8}.${count & 255}`)![Symbol.dispose]();
  assert.equal(counter.total, 0);
  assert.ok(counter.admit("10.0.0.0"));
});
