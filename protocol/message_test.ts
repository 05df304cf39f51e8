import assert from "node:assert/strict";
import fc from "fast-check";
import { ProtocolError } from "./errors.ts";
import { MAX_CONTROL_MESSAGE_BYTES, MAX_RULES } from "./limits.ts";
import { type ControlMessage, encodeControlMessage, parseControlMessage } from "./message.ts";
import { REQUESTS } from "./request.ts";
import { ruleId, ruleSchema } from "./rule.ts";

const HELLO = {
  kind: "hello",
  protocol: 1,
  instance: "i",
  role: "serve",
  version: "0.1.0",
  os: "linux",
  arch: "x86_64",
  host: "laptop",
  features: [],
} as const;

const MESSAGES: readonly ControlMessage[] = [
  { ...HELLO, features: [] },
  { ...HELLO, features: ["a"], takeover: true, resume: { session: "s", secret: "x" } },
  {
    kind: "welcome",
    session: "s",
    secret: "x",
    resumed: false,
    tunnel: { id: "t", name: "n", hostname: "bold-fox-12345.example.com" },
    server: { hostname: "example.com", version: "0.1.0", domain: "example.com", httpPort: 80, tlsPort: 443 },
    limits: { rules: 1000, networks: 1000, streams: 1024 },
    heartbeatMs: 5000,
  },
  {
    kind: "rules",
    revision: 3,
    rules: [
      { kind: "http", domain: "a.example", target: "http://127.0.0.1:1", firewall: [], hostHeader: "b" },
      {
        kind: "tcp",
        transport: "tcp",
        port: 22_000,
        target: ":22",
        firewall: [{ action: "drop", network: "::/0" }],
      },
    ],
  },
  {
    kind: "rules.applied",
    revision: 3,
    rules: [
      { id: "tcp/22000", state: "active", address: "tcp://h:22000" },
      { id: "http/a.example", state: "inactive", code: "E4001", message: "taken" },
    ],
  },
  { kind: "request", id: 1, method: "port.allocate", params: { port: 22_000 } },
  { kind: "response", id: 1, result: { port: 22_000 } },
  { kind: "response", id: 2, error: { code: "E4001", message: "no" } },
  { kind: "pool", count: 32 },
  { kind: "drain", graceMs: 30_000 },
  { kind: "notice", level: "warn", code: "E1", message: "hear" },
  { kind: "bye", code: "E3", message: "gone", final: true },
];

Deno.test.each(MESSAGES.map((message) => ({ message, what: JSON.stringify(message).slice(0, 60) })))(
  "parseControlMessage() gives back $what",
  ({ message }: { message: ControlMessage }) => {
    assert.deepEqual(parseControlMessage(encodeControlMessage(message)), message);
  },
);

Deno.test("parseControlMessage() drops unknown fields and fills in what an older peer leaves out", () => {
  const { features: _, ...old } = HELLO;
  assert.deepEqual(parseControlMessage(JSON.stringify({ ...old, colour: "red" })), { ...HELLO, features: [] });
});

Deno.test("parseControlMessage() gives a message of a kind it does not know as unknown, with a short name", () => {
  assert.deepEqual(parseControlMessage('{"kind":"quantum","x":1}'), { kind: "unknown", name: "quantum" });
  const long = parseControlMessage(JSON.stringify({ kind: "q".repeat(1000) }));
  assert.deepEqual(long, { kind: "unknown", name: "q".repeat(64) });
});

Deno.test("parseControlMessage() takes the names of Object's own members for kinds it does not know", () => {
  for (const kind of ["__proto__", "constructor", "toString", "unknown", ""]) {
    assert.deepEqual(parseControlMessage(JSON.stringify({ kind })), { kind: "unknown", name: kind });
  }
});

const WRONG: readonly (readonly [what: string, json: string])[] = [
  ["no JSON", "{"],
  ["nothing", ""],
  ["null", "null"],
  ["a number", "1"],
  ["an array", "[]"],
  ["no kind", '{"id":1}'],
  ["a kind that is no string", '{"kind":7}'],
  ["a kind in the prototype only", '{"__proto__":{"kind":"pool","count":1}}'],
  ["a missing field", '{"kind":"pool"}'],
  ["another protocol version", JSON.stringify({ ...HELLO, protocol: 2 })],
  ["an unknown role", JSON.stringify({ ...HELLO, role: "admin" })],
  ["too long a text", JSON.stringify({ ...HELLO, host: "h".repeat(1025) })],
  ["too many features", JSON.stringify({ ...HELLO, features: new Array(65).fill("f") })],
  ["a pool of nothing", '{"kind":"pool","count":0}'],
  ["a pool too large", '{"kind":"pool","count":33}'],
  ["a pool of a fraction", '{"kind":"pool","count":1.5}'],
  ["a huge number", '{"kind":"drain","graceMs":1e400}'],
  ["a negative time", '{"kind":"drain","graceMs":-1}'],
  ["a rule with port 0", '{"kind":"rules","revision":1,"rules":[{"kind":"tcp","port":0,"target":""}]}'],
  ["a rule of an unknown kind", '{"kind":"rules","revision":1,"rules":[{"kind":"udp","port":1,"target":""}]}'],
  ["a rule without a target", '{"kind":"rules","revision":1,"rules":[{"kind":"tcp","port":1}]}'],
  [
    "too many rules",
    JSON.stringify({
      kind: "rules",
      revision: 1,
      rules: new Array(MAX_RULES + 1).fill({ kind: "tcp", port: 1, target: "" }),
    }),
  ],
];

for (const [what, json] of WRONG) {
  Deno.test(`parseControlMessage() refuses ${what}`, () => {
    assert.throws(() => parseControlMessage(json), ProtocolError);
  });
}

Deno.test("parseControlMessage() says which field is wrong, and quotes nothing of the peer's", () => {
  assert.throws(() => parseControlMessage('{"kind":"pool","count":"\\u001b[2J"}'), (error: Error) => {
    assert.match(error.message, /"pool": count: /);
    assert.ok(!error.message.includes("\x1b"));
    return true;
  });
});

Deno.test("a __proto__ field changes nothing", () => {
  const message = parseControlMessage('{"kind":"pool","count":1,"__proto__":{"polluted":1}}');
  assert.deepEqual(message, { kind: "pool", count: 1 });
  assert.equal(Object.getPrototypeOf(message), Object.prototype);
  assert.equal(({} as { polluted?: unknown }).polluted, undefined);
  const request = parseControlMessage(
    '{"kind":"request","id":1,"method":"port.list","params":{"__proto__":{"port":1}}}',
  );
  assert.ok(request.kind === "request");
  assert.deepEqual(REQUESTS["port.allocate"].params.parse(request.params), {});
});

Deno.test("parseControlMessage() survives nesting as deep as a message can be", () => {
  const depth = MAX_CONTROL_MESSAGE_BYTES / 2 - 100;
  const json = `{"kind":"request","id":1,"method":"x","params":${"[".repeat(depth)}${"]".repeat(depth)}}`;
  try {
    assert.equal(parseControlMessage(json).kind, "request");
  } catch (error) {
    assert.ok(error instanceof ProtocolError, String(error));
  }
});

Deno.test("parseControlMessage() meets any JSON with a message or a ProtocolError", () => {
  const kind = fc.constantFrom(...MESSAGES.map(({ kind }) => kind));
  const known = fc.tuple(fc.dictionary(fc.string(), fc.jsonValue()), kind).map(([fields, kind]) =>
    JSON.stringify({ ...fields, kind })
  );
  fc.assert(fc.property(fc.oneof(fc.json(), fc.string(), known), (json) => {
    try {
      parseControlMessage(json);
    } catch (error) {
      assert.ok(error instanceof ProtocolError, String(error));
    }
  }));
});

Deno.test("ruleId() names a rule within its tunnel", () => {
  const rules = [{ kind: "http", domain: "a.example", target: "x" }, { kind: "tcp", port: 22_197, target: "x" }];
  assert.deepEqual(rules.map((rule) => ruleId(ruleSchema.parse(rule))), ["http/a.example", "tcp/22197"]);
});
