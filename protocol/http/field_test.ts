import assert from "node:assert/strict";
import { Fields } from "./field.ts";

Deno.test("Fields finds names without case and keeps how they were written", () => {
  const fields = new Fields([{ name: "X-One", value: "1" }, { name: "x-two", value: "2" }]);
  fields.append("x-ONE", "3");
  assert.equal(fields.get("x-one"), "1");
  assert.deepEqual(fields.getAll("X-ONE"), ["1", "3"]);
  assert.equal(fields.toText(), "X-One: 1\r\nx-two: 2\r\nx-ONE: 3\r\n");
});

Deno.test("Fields.set() replaces the first and removes the others", () => {
  const fields = new Fields([{ name: "A", value: "1" }, { name: "B", value: "2" }, { name: "a", value: "3" }]);
  fields.set("a", "4");
  fields.set("C", "5");
  assert.equal(fields.toText(), "a: 4\r\nB: 2\r\nC: 5\r\n");
});

Deno.test("Fields.delete() says whether there were any", () => {
  const fields = new Fields([{ name: "A", value: "1" }, { name: "a", value: "2" }]);
  assert.equal(fields.delete("A"), true);
  assert.equal(fields.delete("A"), false);
  assert.equal(fields.size, 0);
});

Deno.test("Fields treats names of Object.prototype as ordinary", () => {
  const fields = new Fields();
  for (const name of ["__proto__", "constructor", "toString", "hasOwnProperty"]) {
    assert.equal(fields.has(name), false);
    fields.append(name, "v");
    assert.equal(fields.get(name), "v");
  }
  assert.equal(({} as Record<string, unknown>)["v"], undefined);
  assert.equal(fields.size, 4);
});

Deno.test("Fields refuses what could not be sent as one field", () => {
  const fields = new Fields();
  for (const name of ["", "a b", "a:", "a\r\n", "é"]) assert.throws(() => fields.append(name, "v"), TypeError);
  for (const value of ["a\r\nb: c", "a\nb", "a\0", " a", "a\t", "\u010a"]) {
    assert.throws(() => fields.set("name", value), TypeError);
  }
  assert.equal(fields.size, 0);
});

Deno.test("Fields.clone() can be changed by itself", () => {
  const fields = new Fields([{ name: "A", value: "1" }]);
  const copy = fields.clone();
  copy.append("B", "2");
  copy.set("A", "3");
  assert.equal(fields.toText(), "A: 1\r\n");
});
