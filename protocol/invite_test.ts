import assert from "node:assert/strict";
import fc from "fast-check";
import { CodedError } from "./errors.ts";
import { encodeInvite, type Invite, parseInvite } from "./invite.ts";

const INVITE: Invite = {
  server: "tunnel.example.com:443",
  token: `spk_enrol_0123456789ab_${"Aa-_".repeat(10)}xyz`,
  pin: "AbCdEfGhIjKlMnOpQrStUvWxYz0123456789-_AbCdE",
  sni: "tunnel.spokes.internal",
};

Deno.test("encodeInvite() gives one line without anything special to a shell", () => {
  assert.match(encodeInvite(INVITE), /^spokes1\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]{6}$/);
});

Deno.test("encodeInvite() has the checksum CRC-32 of its data", () => {
  // The published check value of CRC-32: "123456789" gives cbf43926.
  const [version, , sum] = encodeInvite({ server: "a:1", token: "12345678" }).split(".");
  const data = btoa('{"server":"a:1","token":"12345678"}').replaceAll("=", "");
  assert.deepEqual(parseInvite(`${version}.${data}.${sum}`), { server: "a:1", token: "12345678" });
  assert.throws(() => parseInvite("spokes1.123456789.y_Q5Jg"), /content cannot be read/);
});

Deno.test("parseInvite() reads what encodeInvite() wrote, with and without the optional fields", () => {
  const { pin: _pin, sni: _sni, ...bare } = INVITE;
  for (
    const invite of [INVITE, bare, { ...bare, sni: "x" }, { ...bare, server: "[2001:db8::1]:8443" }, {
      ...bare,
      server: "192.0.2.1:1",
    }]
  ) {
    assert.deepEqual(parseInvite(encodeInvite(invite)), invite);
  }
});

Deno.test("parseInvite() forgives quotes, white space and the line breaks of a narrow terminal", () => {
  const line = encodeInvite(INVITE);
  assert.deepEqual(parseInvite(`\n  "${line.slice(0, 80)}\r\n${line.slice(80)}" `), INVITE);
});

Deno.test("parseInvite() says what is missing or wrong", () => {
  const line = encodeInvite(INVITE);
  const cases: readonly [text: string, reason: RegExp][] = [
    ["", /does not begin with spokes1/],
    ["hello", /does not begin with spokes1/],
    [line.slice(1), /does not begin with spokes1/],
    [INVITE.token, /bare token/],
    [line.replace("spokes1", "spokes2"), /another version \(spokes2\)/],
    ["spokes1", /end is missing/],
    [line.slice(0, 60), /end is missing/],
    [line.slice(0, -1), /end is missing/],
    [`${line}x`, /behind its end/],
    [`${line}.x`, /behind its end/],
    [line.replace(/(.{30})(.)/, (_, head, one) => head + (one === "A" ? "B" : "A")), /characters differ/],
    [line.slice(0, 30) + line.slice(31), /characters differ/],
    ["x".repeat(5_000), /too long/],
  ];
  for (const [text, reason] of cases) assertInvalid(() => parseInvite(text), reason);
});

Deno.test("encodeInvite() refuses fields that nobody could use", () => {
  const cases: readonly [Partial<Invite>, RegExp][] = [
    ...["", "host", "host:0", "host:65536", "host:x", "https://host:1", "a b:1", "::1:443", "[::1]", "-a:1"].map((
      server,
    ): [Partial<Invite>, RegExp] => [{ server }, /server is not host:port/]),
    [{ token: "" }, /token/],
    [{ token: "with space inside" }, /token/],
    [{ pin: "short" }, /pin/],
    [{ sni: "A B" }, /TLS name/],
  ];
  for (const [change, reason] of cases) assertInvalid(() => encodeInvite({ ...INVITE, ...change }), reason);
});

Deno.test("parseInvite() finds every change of one character, and fails on random text only by its own error", () => {
  const line = encodeInvite(INVITE);
  const index = fc.integer({ min: 0, max: line.length - 1 });
  fc.assert(fc.property(index, fc.constantFrom(..."Ab9-_."), (at, character) => {
    if (line[at] === character) return;
    assertInvalid(() => parseInvite(line.slice(0, at) + character + line.slice(at + 1)), /./);
  }));
  fc.assert(fc.property(fc.string(), (text) => assertInvalid(() => parseInvite(`spokes1.${text}`), /./)));
});

function assertInvalid(work: () => unknown, reason: RegExp): void {
  assert.throws(work, (error) => {
    assert.ok(error instanceof CodedError && error.kind === "INVITE_INVALID");
    assert.match(error.message, reason);
    return true;
  });
}
