import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { basicCredential } from "./basic_credential.ts";
import { Fields } from "./field.ts";

function parsed(...values: string[]): string[] | undefined {
  const fields = new Fields(values.map((value) => ({ name: "Authorization", value })));
  const credential = basicCredential(fields);
  return credential === undefined ? undefined : [credential.user, credential.password];
}

function encoded(text: string, encoding: "utf8" | "latin1" = "utf8"): string {
  return `Basic ${Buffer.from(text, encoding).toString("base64")}`;
}

Deno.test("basicCredential() splits at the first colon, in UTF-8", () => {
  assert.deepEqual(parsed(encoded("alice:secret")), ["alice", "secret"]);
  assert.deepEqual(parsed(encoded("alice:a:b:")), ["alice", "a:b:"]);
  assert.deepEqual(parsed(encoded(":")), ["", ""]);
  assert.deepEqual(parsed(encoded("ren\u00e9:\u00a3")), ["ren\u00e9", "\u00a3"]);
  assert.deepEqual(parsed(encoded("rene\u0301:x")), ["ren\u00e9", "x"], "composed or not");
  assert.deepEqual(parsed("bAsIC   YTpi"), ["a", "b"]);
});

Deno.test("basicCredential() gives nothing for what is not exactly one well-formed credential", () => {
  for (
    const value of [
      "Basic",
      "Bearer YTpi",
      "BasicYTpi",
      "Basic YTpi, Basic YTpi",
      "Basic YT*pi",
      "Basic YTpi=x",
      encoded("no colon"),
      encoded("a:b\0"),
      encoded("a:b\n"),
      encoded("ren\u00e9:x", "latin1"),
    ]
  ) {
    assert.equal(parsed(value), undefined, value);
  }
  assert.equal(parsed(), undefined);
  assert.equal(parsed(encoded("a:b"), encoded("a:b")), undefined);
  assert.equal(basicCredential(new Fields([{ name: "Proxy-Authorization", value: encoded("a:b") }])), undefined);
});
