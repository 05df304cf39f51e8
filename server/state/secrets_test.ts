import assert from "node:assert/strict";
import { createToken, parseToken, verifyDigest } from "./secrets.ts";

Deno.test("createToken() gives 256 random bits behind a prefix that scanners know", () => {
  const first = createToken("enrol", "abcdef012345");
  const second = createToken("enrol", "abcdef012345");
  assert.match(first.token, /^spk_enrol_abcdef012345_[A-Za-z0-9_-]{43}$/);
  assert.notEqual(first.token, second.token);
  assert.match(first.digest, /^[0-9a-f]{64}$/);
  assert.ok(!first.token.includes(first.digest));
  assert.throws(() => createToken("enrol", "no_underscores"), TypeError);
});

Deno.test("parseToken() reads what createToken() made, of this kind only", () => {
  const { token, digest } = createToken("tunnel", "abcdef012345");
  assert.deepEqual(parseToken("tunnel", token), { id: "abcdef012345", digest });
  assert.equal(parseToken("enrol", token), null);
  for (
    const wrong of ["", "spk_tunnel_", token.slice(0, -1), `${token}x`, ` ${token}`, token.toUpperCase(), `${token}\n`]
  ) {
    assert.equal(parseToken("tunnel", wrong), null, wrong);
  }
});

Deno.test("verifyDigest() accepts one of the stored digests and nothing else", () => {
  const { digest } = createToken("tunnel", "abcdef012345");
  const other = createToken("tunnel", "abcdef012345").digest;
  assert.equal(verifyDigest(digest, [digest]), true);
  assert.equal(verifyDigest(digest, [other, digest]), true);
  assert.equal(verifyDigest(digest, [other]), false);
  assert.equal(verifyDigest(digest, []), false);
  assert.equal(verifyDigest(undefined, []), false);
  assert.equal(verifyDigest(undefined, [digest]), false);
  assert.equal(verifyDigest("0".repeat(64), []), false);
  assert.equal(verifyDigest(undefined, ["0".repeat(64)]), false);
  assert.equal(verifyDigest(digest, [""]), false);
});
