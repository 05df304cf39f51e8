import assert from "node:assert/strict";
import { Challenges, challengeToken } from "./challenges.ts";
import { makeChallengeCertificate } from "./challenge_certificate.ts";

Deno.test("an http-01 answer is there for its host and token only, until it is disposed", () => {
  const challenges = new Challenges();
  {
    using _answer = challenges.setHttp("a.example.com", "tok-en_1", "tok-en_1.print");
    assert.equal(challenges.httpAnswer("a.example.com", "tok-en_1"), "tok-en_1.print");
    assert.equal(challenges.httpAnswer("b.example.com", "tok-en_1"), undefined);
    assert.equal(challenges.httpAnswer("a.example.com", "other"), undefined);
    assert.ok(challenges.hasHttp("a.example.com"));
    assert.ok(!challenges.hasHttp("example.com"));
  }
  assert.equal(challenges.httpAnswer("a.example.com", "tok-en_1"), undefined);
});

Deno.test("a later answer stays when an earlier one is disposed", () => {
  const challenges = new Challenges();
  const first = challenges.setHttp("a.example.com", "token", "first");
  using _second = challenges.setHttp("a.example.com", "token", "second");
  first[Symbol.dispose]();
  assert.equal(challenges.httpAnswer("a.example.com", "token"), "second");
});

Deno.test("tls-alpn-01 certificates are found by their domain, until they are disposed", async () => {
  const challenges = new Challenges();
  const certificate = await makeChallengeCertificate("a.example.com", "x");
  const set = challenges.setTlsAlpn("a.example.com", certificate);
  assert.equal(challenges.tlsAlpnAnswer("a.example.com"), certificate);
  assert.equal(challenges.tlsAlpnAnswer("b.example.com"), undefined);
  set[Symbol.dispose]();
  assert.equal(challenges.tlsAlpnAnswer("a.example.com"), undefined);
});

Deno.test("a token is letters, digits, - and _ alone, and not long (security R48)", () => {
  const challenges = new Challenges();
  const prefix = "/.well-known/acme-challenge/";
  for (const token of ["", "..", "a/b", "a%2e", "a.b", "a b", "a\n", "ä", "x".repeat(129)]) {
    assert.equal(challengeToken(prefix + token), undefined, JSON.stringify(token));
    assert.throws(() => challenges.setHttp("a.example.com", token, "x"), TypeError);
    assert.equal(challenges.httpAnswer("a.example.com", token), undefined);
  }
  assert.equal(challengeToken(`${prefix}aZ0_-`), "aZ0_-");
  assert.equal(challengeToken("/.well-known/acme-challenge"), undefined);
  assert.equal(challengeToken("/other"), undefined);
});
