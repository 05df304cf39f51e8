import assert from "node:assert/strict";
import { hashPassword, parsePasswordHash, verifyPassword } from "./password.ts";

/** Of "pleaseletmein" with the salt "SodiumChloride" (RFC 7914 12), ln=14. */
const VECTOR = "$scrypt$ln=14,r=8,p=1$U29kaXVtQ2hsb3JpZGU$" +
  "cCO9yzr9c0hGHAbNgf046/2o+7qQT44+qbVD9lRdofLVQylVYT8Pz2LUlwUkKpr55h6F3A1lHkDfzwF7RVdYhw";

Deno.test("verifyPassword() knows what hashPassword() made, and another password not", async () => {
  const hash = await hashPassword("correct horse");
  assert.match(hash, /^\$scrypt\$ln=15,r=8,p=1\$[A-Za-z0-9+/]{22}\$[A-Za-z0-9+/]{43}$/);
  assert.ok(await verifyPassword("correct horse", hash));
  assert.ok(!await verifyPassword("correct horsf", hash));
  assert.notEqual(await hashPassword("correct horse"), hash, "every hash has a salt of its own");
});

Deno.test("the same letters are the same password, composed or not; any text is one", async () => {
  const hash = await hashPassword("Gr\u00fc\u00dfe");
  assert.ok(await verifyPassword("Gru\u0308\u00dfe", hash));
  assert.ok(await verifyPassword("", await hashPassword("")));
});

Deno.test("verifyPassword() agrees with the test vector of RFC 7914", async () => {
  assert.ok(await verifyPassword("pleaseletmein", VECTOR));
});

Deno.test("parsePasswordHash() refuses what is malformed or too much work, and never repeats it", () => {
  const salt = "c2FsdHNhbHRzYWx0";
  const hash = "aGFzaGhhc2hoYXNoaGFzaGhhc2hoYXNo";
  for (
    const text of [
      "",
      "secret",
      `$2y$10$${salt}`,
      `$scrypt$ln=15,r=8,p=1$${salt}`,
      `$scrypt$ln=15,r=8$${salt}$${hash}`,
      `$scrypt$ln=015,r=8,p=1$${salt}$${hash}`,
      `$scrypt$ln=15,r=8,p=0$${salt}$${hash}`,
      `$scrypt$ln=13,r=8,p=1$${salt}$${hash}`,
      `$scrypt$ln=17,r=8,p=1$${salt}$${hash}`,
      `$scrypt$ln=16,r=8,p=2$${salt}$${hash}`,
      `$scrypt$ln=14,r=32,p=1$${salt}$${hash}`,
      `$scrypt$ln=99,r=99,p=99$${salt}$${hash}`,
      `$scrypt$ln=15,r=8,p=1$$${hash}`,
      `$scrypt$ln=15,r=8,p=1$${salt}$`,
      `$scrypt$ln=15,r=8,p=1$c2Fs$${hash}`,
      `$scrypt$ln=15,r=8,p=1$${salt}$aGFz`,
      `$scrypt$ln=15,r=8,p=1$${salt}$${hash.repeat(5)}`,
      `$scrypt$ln=15,r=8,p=1$${salt}$${hash}\n`,
    ]
  ) {
    assert.throws(() => parsePasswordHash(text), (error: Error & { kind?: string }) => {
      assert.equal(error.kind, "RULE_INVALID", text);
      assert.ok(!error.message.includes(hash) && !error.message.includes("secret"), error.message);
      return true;
    });
  }
  assert.equal(parsePasswordHash(`$scrypt$ln=16,r=8,p=1$${salt}$${hash}`).ln, 16);
});
