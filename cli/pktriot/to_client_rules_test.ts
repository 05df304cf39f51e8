import { deepEqual, equal } from "node:assert/strict";
import type { ClientHttpRule } from "../../client/options.ts";
import { ruleSchema } from "../../protocol/rule.ts";
import { parseConfig } from "../config_text.ts";
import { type ClientConfig, clientConfigSchema } from "./config.ts";
import { toClientRules, toWireHttp, toWireTcp } from "./to_client_rules.ts";

const HEAD = `version: 1
server: {address: "example.com:443"}
tunnel: {id: t1, token: secret, hostname: a.example.com, name: laptop}
`;

function read(text: string): ClientConfig {
  return parseConfig({ path: "c.yaml", text: HEAD + text }, clientConfigSchema).value;
}

function httpRule(keys: string): ClientHttpRule {
  const [rule] = toClientRules(read(`http: [{domain: b.example.com, target: "127.0.0.1:80", ${keys}}]`));
  return rule as ClientHttpRule;
}

const HASH = "$scrypt$ln=15,r=8,p=1$c2FsdHNhbHRzYWx0$aGFzaGhhc2hoYXNoaGFzaA";

const MAPPED: [keys: string, rule: Partial<ClientHttpRule>, wire: Record<string, unknown>][] = [
  ["tls: server", { tls: { end: "server" } }, { tls: "server" }],
  ["tls: letsencrypt, redirect: true", { tls: { end: "client", certificate: "acme" }, redirect: true }, {
    tls: "client",
    acme: true,
    redirect: true,
  }],
  [
    "tls: {certificate: /c.pem, key: /k.pem}",
    { tls: { end: "client", certificate: { certificateFile: "/c.pem", keyFile: "/k.pem" } } },
    { tls: "client" },
  ],
  ['tls: {target: "10.0.0.7:443"}', { tls: { end: "target", target: "10.0.0.7:443" } }, { tls: "target" }],
  ["hostHeader: app.local, proxyProtocol: v2", { hostHeader: "app.local", proxyProtocol: "v2" }, {
    hostHeader: "app.local",
    proxyProtocol: "v2",
  }],
];

const OPTIONS: [keys: string, options: ClientHttpRule["options"]][] = [
  [`basicAuth: [{user: anna, hash: "${HASH}"}]`, { basicAuth: [{ user: "anna", hash: HASH }] }],
  // Nobody, not everybody.
  ["basicAuth: []", { basicAuth: [] }],
  ['redirectTo: "https://b.test"', { redirect: { url: "https://b.test", status: 302 } }],
  ['redirectTo: {url: "https://b.test", status: 308, keepPath: true}', {
    redirect: { url: "https://b.test", status: 308, keepPath: true },
  }],
  ["stripPrefix: /app, addPrefix: /v1", { stripPrefix: "/app", addPrefix: "/v1" }],
  ["requestHeaders: {set: {X-A: one, x-b: two}, remove: [Cookie]}", {
    requestFields: { set: [["X-A", "one"], ["x-b", "two"]], remove: ["Cookie"] },
  }],
  ["responseHeaders: {remove: [Server]}", { responseFields: { remove: ["Server"] } }],
  ["maxBody: 10MB", { maxBodyBytes: 10_000_000 }],
  ["maxBody: 0", { maxBodyBytes: 0 }],
];

for (const [keys, rule, wire] of MAPPED) {
  Deno.test(`toClientRules() and toWireHttp() map ${keys}`, () => {
    deepEqual(httpRule(keys), {
      ...{ kind: "http", domain: "b.example.com", target: "127.0.0.1:80", firewall: [] },
      ...rule,
    });
    const { http: [entry] } = read(`http: [{domain: b.example.com, target: "127.0.0.1:80", ${keys}}]`);
    const published = toWireHttp(entry!);
    deepEqual(published, {
      ...{ kind: "http", domain: "b.example.com", target: "127.0.0.1:80", firewall: [] },
      ...wire,
    });
    deepEqual(ruleSchema.parse(published), published);
  });
}

for (const [keys, options] of OPTIONS) {
  Deno.test(`toClientRules() and toWireHttp() map ${keys.replace(HASH, "HASH")}`, () => {
    deepEqual(httpRule(keys).options, options);
    const { http: [entry] } = read(`http: [{domain: b.example.com, target: "127.0.0.1:80", ${keys}}]`);
    const published = ruleSchema.parse(toWireHttp(entry!));
    deepEqual(published.kind === "http" && published.options, options);
  });
}

Deno.test("toClientRules() leaves out what a rule does not say", () => {
  deepEqual(Object.keys(httpRule("firewall: {}")).toSorted(), ["domain", "firewall", "kind", "target"]);
});

Deno.test("toClientRules() leads a rule without a target to the same nowhere each time", async () => {
  const config = read('http: [{domain: b.example.com, redirectTo: "https://b.test"}]');
  const [first, second] = [toClientRules(config)[0], toClientRules(config)[0]];
  equal(first?.target, second?.target);
  const handler = first?.target as (request: Request) => Response;
  equal((await handler(new Request("http://b.example.com"))).status, 404);
});

Deno.test("toClientRules() and toWireTcp() map proxyProtocol of a port", () => {
  const { tcp } = read('tcp: [{port: 22000, target: "127.0.0.1:22", proxyProtocol: v2}, {port: 22001}]');
  const expected = { kind: "tcp", port: 22_000, target: "127.0.0.1:22", firewall: [], proxyProtocol: "v2" };
  deepEqual(toClientRules({ http: [], tcp }), [expected]);
  deepEqual(toWireTcp(tcp[0]!), { ...expected, transport: "tcp" });
});
