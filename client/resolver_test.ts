import assert from "node:assert/strict";
import { CodedError } from "../protocol/errors.ts";
import type { HttpRule } from "../protocol/rule.ts";
import type { StreamOpen } from "../protocol/stream_message.ts";
import type { ClientHttpRule, ClientRule, ClientTcpRule } from "./options.ts";
import type { AcmeCertificates } from "./certificates/acme_certificates.ts";
import { Resolver } from "./resolver.ts";

const HOSTNAME = "calm-fox-12345.example.com";
const DROP_ALL = ["0.0.0.0/0", "::/0"].map((network) => ({ action: "drop", network }));

function open(rule: string): StreamOpen {
  return { kind: "open", rule, revision: 1, protocol: "tcp", visitor: { address: "192.0.2.1", port: 1 } };
}

function isKind(kind: CodedError["kind"]): (error: unknown) => boolean {
  return (error) => error instanceof CodedError && error.kind === kind;
}

Deno.test("resolve() finds a destination by the rule's id, and nothing by another", () => {
  const resolver = new Resolver();
  resolver.set([
    { kind: "http", domain: "a.example.com", target: "8080" },
    { kind: "tcp", port: 22_001, target: "unix:/run/x.sock" },
  ], HOSTNAME);
  assert.deepEqual(resolver.resolve(open("http/a.example.com")), {
    kind: "socket",
    target: { kind: "tcp", host: "127.0.0.1", port: 8080 },
    options: { insecure: false },
  });
  assert.deepEqual(resolver.resolve(open("tcp/22001")), {
    kind: "socket",
    target: { kind: "unix", path: "/run/x.sock" },
    options: {},
  });
  // Whatever a server asks for, only what the user published is opened (security R9).
  for (const rule of ["tcp/22", "http/127.0.0.1:22", "tcp/22001/", "__proto__", "constructor", `http/${HOSTNAME}`]) {
    assert.throws(() => resolver.resolve(open(rule)), isKind("NO_SUCH_RULE"), rule);
  }
});

Deno.test("set() takes all rules or none", () => {
  const resolver = new Resolver();
  resolver.set([{ kind: "tcp", port: 1, target: "1" }], HOSTNAME);
  const wrong = [{ kind: "tcp", port: 2, target: "2" }, { kind: "tcp", port: 3, target: "nonsense" }] as const;
  assert.throws(() => resolver.set(wrong, HOSTNAME), isKind("TARGET_INVALID"));
  assert.equal(resolver.resolve(open("tcp/1")).kind, "socket");
  assert.throws(() => resolver.resolve(open("tcp/2")), isKind("NO_SUCH_RULE"));
});

Deno.test("set() refuses two rules for one address, and web targets for TCP ports", () => {
  const resolver = new Resolver();
  const twice = [{ kind: "http", target: "1" }, { kind: "http", domain: HOSTNAME, target: "2" }] as const;
  assert.throws(() => resolver.set(twice, HOSTNAME), isKind("RULE_INVALID"));
  for (const target of ["/srv/www", "https://example.com"]) {
    assert.throws(() => resolver.set([{ kind: "tcp", port: 1, target }], HOSTNAME), isKind("TARGET_INVALID"));
  }
});

Deno.test("set() without rules publishes the default page at the assigned hostname", async () => {
  const resolver = new Resolver();
  const [rule] = resolver.set([], HOSTNAME);
  assert.deepEqual([rule?.kind, rule?.kind === "http" && rule.domain], ["http", HOSTNAME]);
  const destination = resolver.resolve(open(`http/${HOSTNAME}`));
  assert.ok(destination.kind === "handler");
  const page = await destination.handler(new Request(`http://${HOSTNAME}/`), { address: undefined });
  assert.match(await page.text(), new RegExp(HOSTNAME));
  const post = new Request(`http://${HOSTNAME}/`, { method: "POST" });
  assert.equal((await destination.handler(post, { address: undefined })).status, 405);
});

Deno.test("set() names the host of an https target, unless another is wanted", () => {
  const resolver = new Resolver();
  const hostHeaders = ["https://api.example", "https://api.example:8443", "http://api.example"].map((target) => {
    const [rule] = resolver.set([{ kind: "http", target }], HOSTNAME);
    return rule?.kind === "http" ? rule.hostHeader : "";
  });
  assert.deepEqual(hostHeaders, ["api.example", "api.example:8443", undefined]);
  const [rule] = resolver.set([{ kind: "http", target: "https://api.example", hostHeader: "other" }], HOSTNAME);
  assert.equal(rule?.kind === "http" && rule.hostHeader, "other");
});

Deno.test("set() publishes the options of a rule, and keeps what its requests need here", () => {
  const resolver = new Resolver();
  const options = { stripPrefix: "/app", maxBodyBytes: 10 };
  const rules = resolver.set([
    { kind: "http", target: "1", options, proxyProtocol: "v2" },
    { kind: "http", domain: "b.example", target: "/srv", options },
    { kind: "tcp", port: 22_001, target: "2", proxyProtocol: "v2" },
    { kind: "tcp", port: 22_002, target: "3" },
  ], HOSTNAME);
  assert.deepEqual(rules.map((rule) => [rule.kind === "http" && rule.options, rule.proxyProtocol]), [
    [options, "v2"],
    [options, undefined],
    [false, "v2"],
    [false, undefined],
  ]);
  const proxied = [`http/${HOSTNAME}`, "tcp/22001", "tcp/22002"].map((id) => {
    const destination = resolver.resolve(open(id));
    return destination.kind === "socket" ? destination.proxyProtocol : "";
  });
  assert.deepEqual(proxied, ["v2", "v2", undefined]);
  const folder = resolver.resolve(open("http/b.example"));
  assert.equal(folder.kind === "handler" && folder.http?.maxBodyBytes, 10);
});

Deno.test("set() publishes how a rule is reached through the mesh, and the port of a TCP target", () => {
  const rules = new Resolver().set([
    { kind: "http", target: "1", service: "web", private: true },
    { kind: "tcp", port: 22_001, target: "db.local:5432", service: "db" },
    { kind: "tcp", port: 22_002, target: "unix:/run/x.sock" },
  ], HOSTNAME);
  assert.deepEqual(rules.map((rule) => [rule.service, rule.private, rule.kind === "tcp" && rule.targetPort]), [
    ["web", true, false],
    ["db", undefined, 5432],
    [undefined, undefined, undefined],
  ]);
  for (const service of ["a.b", "Redis", ""]) {
    const wrong = { kind: "tcp", port: 1, target: "1", service } as const;
    assert.throws(() => new Resolver().set([wrong], HOSTNAME), isKind("RULE_INVALID"), service);
  }
});

Deno.test("set() refuses options that nothing could carry out", () => {
  const cases: [Omit<ClientHttpRule, "kind">, CodedError["kind"]][] = [
    [{ target: "/srv", proxyProtocol: "v2" }, "RULE_INVALID"],
    [{ target: () => new Response(), proxyProtocol: "v2" }, "RULE_INVALID"],
  ];
  for (const [rule, kind] of cases) {
    assert.throws(() => new Resolver().set([{ kind: "http", ...rule }], HOSTNAME), isKind(kind));
  }
});

Deno.test("a rule whose hash, firewall or option cannot be carried out is closed, and the others are open", () => {
  const passed = { end: "target", target: "127.0.0.1:443" } as const;
  const firewall = [{ action: "allow", network: "300.0.0.1" }] as const;
  const closed: [Partial<ClientHttpRule> | Pick<ClientTcpRule, "port">, string, RegExp][] = [
    [{ options: { basicAuth: [{ user: "anna", hash: "secret" }] } }, "E4012", /\$scrypt.*"anna"/],
    [{ options: { basicAuth: [{ user: "anna", hash: "" }] } }, "E4012", /basicAuth/],
    [{ tls: passed, options: { maxBodyBytes: 1 } }, "E4017", /ends at the target/],
    [{ tls: passed, hostHeader: "a.example" }, "E4017", /ends at the target/],
    [{ firewall }, "E4013", /300\.0\.0\.1/],
    [{ port: 22_001, firewall }, "E4013", /300\.0\.0\.1/],
  ];
  for (const [parts, code, reason] of closed) {
    const resolver = new Resolver();
    const rule = { kind: "port" in parts ? "tcp" : "http", target: "1", ...parts } as ClientRule;
    const [bad, good] = resolver.set([rule, { kind: "http", domain: "good.example", target: "1" }], HOSTNAME);
    assert.equal(bad?.fault?.code, code);
    assert.match(bad?.fault?.message ?? "", reason);
    // Neither what is broken is sent, nor what would let anybody in.
    assert.deepEqual([bad?.firewall, "options" in bad!], [DROP_ALL, false]);
    const open = { kind: "open", revision: 1, protocol: "http", visitor: { address: "192.0.2.1", port: 1 } } as const;
    const id = rule.kind === "tcp" ? "tcp/22001" : `http/${HOSTNAME}`;
    assert.throws(() => resolver.resolve({ ...open, rule: id }), { code });
    assert.equal(good?.fault, undefined);
    assert.equal(resolver.resolve({ ...open, rule: "http/good.example" }).kind, "socket");
  }
});

Deno.test("an edit that closes a rule closes it for connections that are there as well", () => {
  const resolver = new Resolver();
  const certificate = { certificateFile: "/none.pem", keyFile: "/none.key" };
  const rule = { kind: "http", target: "1", tls: { end: "client", certificate } } as const;
  resolver.set([rule], HOSTNAME);
  assert.notEqual(resolver.site(`http/${HOSTNAME}`), undefined);
  resolver.set([{ ...rule, options: { basicAuth: [{ user: "a", hash: "x" }] } }], HOSTNAME);
  assert.equal(resolver.site(`http/${HOSTNAME}`), undefined);
});

Deno.test("what a certificate authority's certificate has left, and what is amiss with the next, is told together", () => {
  const DAY_MS = 86_400_000;
  let trouble: CodedError | undefined = undefined;
  const pair = { notBefore: new Date(Date.now() - 80 * DAY_MS), notAfter: new Date(Date.now() + 10 * DAY_MS) };
  const acme = { pairOf: () => pair, troubleOf: () => trouble, challenges: undefined };
  const resolver = new Resolver({ acme: acme as unknown as AcmeCertificates });
  const rule = { kind: "http", target: "1", tls: { end: "client", certificate: "acme" } } as const;
  const told = (): { notAfter?: string | undefined; code?: string | undefined; message?: string | undefined } => {
    const [published] = resolver.set([rule], HOSTNAME) as [HttpRule];
    return { notAfter: published.notAfter, ...published.warning };
  };
  const notAfter = pair.notAfter.toISOString();
  assert.deepEqual(told(), {
    ...{ notAfter, code: "E6009", message: `The certificate expires on ${notAfter}` },
  });
  trouble = new CodedError("ACME_UNREACHABLE", "The CA is away");
  assert.deepEqual(told(), {
    ...{ notAfter, code: "E7002", message: `The CA is away. The certificate expires on ${notAfter}` },
  });
  const before = resolver.condition();
  const { now } = Date;
  Date.now = () => now() + 11 * DAY_MS;
  try {
    // Time alone is a change that is to be told.
    assert.notEqual(resolver.condition(), before);
    assert.match(told().message ?? "", /^The CA is away\. The certificate expired on .*served all the same/);
  } finally {
    Date.now = now;
  }
});
