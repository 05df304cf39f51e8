import { deepEqual, equal, throws } from "node:assert/strict";
import { Doors } from "../../client/doors/doors.ts";
import { Resolver } from "../../client/resolver.ts";
import { SILENT } from "../../net/log.ts";
import { parseConfig } from "../config_text.ts";
import { clientConfigSchema } from "./config.ts";
import { toClientDoors } from "./to_client_doors.ts";
import { toClientRules } from "./to_client_rules.ts";

const HEAD = `version: 1
server: {address: "example.com:443"}
tunnel: {id: t1, token: secret, hostname: a.example.com, name: laptop}
`;

function parse(text: string) {
  return parseConfig({ path: "c.yaml", text: HEAD + text }, clientConfigSchema).value;
}

Deno.test("clientConfigSchema reads rules as a hand writes them", () => {
  const { http, tcp } = parse(`
http:
  - domain: blog.example.com
    target: 127.0.0.1:8080
    firewall:
      allow: [203.0.113.0/24]
tcp: # nothing yet
`);
  deepEqual(http, [{
    domain: "blog.example.com",
    target: "127.0.0.1:8080",
    firewall: { allow: ["203.0.113.0/24"], drop: [] },
  }]);
  deepEqual(tcp, []);
});

Deno.test("clientConfigSchema reads how certificates are got", () => {
  for (const directory of ["letsencrypt", "letsencrypt-staging", "https://ca.example:14000/dir"]) {
    deepEqual(parse(`acme: {directory: "${directory}", email: a@example.org, ca: /root.pem}`).acme, {
      directory,
      email: "a@example.org",
      ca: "/root.pem",
    });
  }
  for (const text of ["", "acme:", "acme: {}"]) deepEqual(parse(text).acme ?? {}, {});
});

function rule(keys: string): string {
  return `http:\n- domain: a.example.com\n  target: a:1\n  ${keys}\n`;
}

Deno.test("clientConfigSchema reads ways into the mesh, and how rules are reached through it", () => {
  const { ports, proxies, tcp } = parse(`
tcp: [{port: 22001, target: "127.0.0.1:6379", service: redis, private: true}]
ports:
  - {port: 3306, destination: mariadb, destinationPort: 22123}
  - {unix: /run/pg, destination: db.srv.local, destinationPort: 5432, label: "the database"}
  - {port: 80, bind: 0.0.0.0, auth: none, transport: tcp, destination: "2001:db8::1", destinationPort: 80}
proxies:
  socks: {port: 1080}
  http: {port: 8118, bind: "::", auth: none}
`);
  deepEqual(tcp, [{ port: 22_001, target: "127.0.0.1:6379", service: "redis", private: true }]);
  deepEqual(ports.map(({ port, unix, transport }) => [port ?? unix, transport]), [
    ...[[3306, "tcp"], ["/run/pg", "tcp"], [80, "tcp"]],
  ]);
  deepEqual(proxies, { socks: { port: 1080 }, http: { port: 8118, bind: "::", auth: "none" } });
  for (const text of ["", "ports:\nproxies:", "ports: []\nproxies: {}"]) {
    deepEqual([parse(text).ports, parse(text).proxies], [[], {}]);
  }
});

const BAD_DOORS: [name: string, text: string, message: RegExp][] = [
  [
    "a map without a local end",
    "ports: [{destination: a, destinationPort: 1}]",
    /^c\.yaml:4:9: ports\.0: either port or/,
  ],
  [
    "a map with two local ends",
    "ports: [{port: 1, unix: /a, destination: a, destinationPort: 1}]",
    /^c\.yaml:4:9: ports\.0: either port or unix/,
  ],
  ["a map to nowhere", "ports: [{port: 1, destinationPort: 1}]", /^c\.yaml:4:9: ports\.0\.destination: .*missing/],
  [
    "an address that only some resolvers understand",
    'ports: [{port: 1, destination: "0x7f000001", destinationPort: 1}]',
    /^c\.yaml:4:32: ports\.0\.destination: .*neither a host name nor an address/,
  ],
  [
    "UDP",
    "ports: [{port: 1, transport: udp, destination: a, destinationPort: 1}]",
    /^c\.yaml:4:30: ports\.0\.transport: it is not tcp/,
  ],
  [
    "a misspelt key of a map",
    "ports: [{port: 1, dest: a, destination: a, destinationPort: 1}]",
    /^c\.yaml:4:19: ports\.0\.dest: there is no such key/,
  ],
  [
    "two maps at one port",
    "ports: [{port: 1, destination: a, destinationPort: 1}, {port: 1, destination: b, destinationPort: 1}]",
    /^c\.yaml:4:63: ports\.1\.port: there is a port map for "1" above/,
  ],
  [
    "a map that lets others in",
    "ports: [{port: 1, bind: 0.0.0.0, destination: a, destinationPort: 1}]",
    /^c\.yaml:4:25: ports\.0\.bind: other machines could use it.*auth: none/,
  ],
  [
    "a map with a password",
    "ports: [{port: 1, destination: a, destinationPort: 1, auth: {user: a, hash: b}}]",
    /^c\.yaml:4:61: ports\.0\.auth: /,
  ],
  [
    "a proxy that lets others in",
    "proxies: {socks: {port: 1, bind: 10.0.0.1}}",
    /^c\.yaml:4:34: proxies\.socks\.bind: /,
  ],
  ["a proxy of another kind", "proxies: {ftp: {port: 1}}", /^c\.yaml:4:11: proxies\.ftp: there is no such key/],
  [
    "a proxy without a user",
    "proxies: {http: {port: 1, auth: {hash: secret}}}",
    /^c\.yaml:4:\d+: proxies\.http\.auth/,
  ],
  ["a service name that is a domain", rule("service: a.b"), /^c\.yaml:7:12: http\.0\.service: .*not a service name/],
];

for (const [name, text, message] of BAD_DOORS) {
  Deno.test(`clientConfigSchema refuses ${name}`, () => {
    throws(() => parse(text), { kind: "CONFIG_INVALID", message });
  });
}

const BAD_RULES: [name: string, text: string, message: RegExp][] = [
  ["a word for TLS that is none", rule("tls: yes-please"), /^c\.yaml:7:8: http\.0\.tls: it is not letsencrypt, server/],
  ["TLS that is a list", rule("tls: [server]"), /^c\.yaml:7:8: http\.0\.tls: it is not letsencrypt/],
  ["a certificate without key", rule("tls: {certificate: /c.pem}"), /^c\.yaml:7:8: http\.0\.tls\.key: .*missing/],
  [
    "a misspelt key of TLS",
    rule("tls: {certificate: /c, key: /k, chain: /x}"),
    /^c\.yaml:7:35: http\.0\.tls\.chain: there is no such key/,
  ],
  [
    "two ends of TLS",
    rule('tls: {target: "a:1", key: /k.pem}'),
    /^c\.yaml:7:24: http\.0\.tls\.key: there is no such key/,
  ],
  ["a pass-through to a folder", rule("tls: {target: /srv}"), /^c\.yaml:7:17: http\.0\.tls\.target: .*host:port/],
  ["a redirect that is a word", rule('redirect: "yes"'), /^c\.yaml:7:13: http\.0\.redirect: /],
  [
    "a user with a colon",
    rule('basicAuth: [{user: "a:b", hash: x}]'),
    /^c\.yaml:7:22: http\.0\.basicAuth\.0\.user: .*colon/,
  ],
  ["a redirect to no URL", rule("redirectTo: www.b.test"), /^c\.yaml:7:15: http\.0\.redirectTo: .*is not a URL/],
  [
    "a status that redirects nowhere",
    rule('redirectTo: {url: "https://b.test", status: 200}'),
    /^c\.yaml:7:\d+: http\.0\.redirectTo/,
  ],
  [
    "a relative prefix",
    rule("stripPrefix: app"),
    /^c\.yaml:7:16: http\.0\.stripPrefix: it is not a path such as \/app/,
  ],
  [
    "a header name that is none",
    rule('requestHeaders: {set: {"A b": c}}'),
    /^c\.yaml:7:\d+: http\.0\.requestHeaders\.set\.A b: /,
  ],
  [
    "a header value that ends a line",
    rule('responseHeaders: {set: {A: "b\\r\\nC: d"}}'),
    /^c\.yaml:7:\d+: http\.0\.responseHeaders\.set\.A: .*cannot be sent/,
  ],
  [
    "framing as a header",
    rule("requestHeaders: {remove: [Transfer-Encoding]}"),
    /^c\.yaml:7:29: http\.0\.requestHeaders\.remove\.0: .*cannot be changed/,
  ],
  [
    "the visitor's address as a header",
    rule("requestHeaders: {set: {X-Forwarded-For: 1.2.3.4}}"),
    /X-Forwarded-For cannot be changed/,
  ],
  ["a Host that ends a line", rule('hostHeader: "a\\r\\nb: c"'), /^c\.yaml:7:15: http\.0\.hostHeader: /],
  ["a size that is none", rule("maxBody: large"), /^c\.yaml:7:12: http\.0\.maxBody: .*is not a size such as 10MB/],
  ["another version of PROXY", rule("proxyProtocol: v1"), /^c\.yaml:7:18: http\.0\.proxyProtocol: /],
  [
    "no target",
    "http: [{domain: a.example.com, tls: server, redirect: true}]",
    /^c\.yaml:4:8: http\.0\.target: it is missing/,
  ],
  [
    "an authority by plain HTTP",
    'acme: {directory: "http://ca.example"}',
    /^c\.yaml:4:19: acme\.directory: it is not letsencrypt/,
  ],
  ["an authority that is an inherited word", "acme: {directory: toString}", /^c\.yaml:4:19: acme\.directory: /],
  ["an e-mail address that is none", "acme: {email: anna}", /^c\.yaml:4:15: acme\.email: it is not an e-mail address/],
  ["a misspelt key of acme", "acme: {mail: a@example.org}", /^c\.yaml:4:8: acme\.mail: there is no such key/],
];

for (const [name, text, message] of BAD_RULES) {
  Deno.test(`clientConfigSchema refuses ${name}, with its place`, () => {
    throws(() => parse(text), { kind: "CONFIG_INVALID", message });
  });
}

const BAD: [name: string, text: string, message: RegExp][] = [
  [
    "a firewall that is no list",
    "http:\n- domain: a.example.com\n  target: a:1\n  firewall:\n    allow: 10.0.0.0/8\n",
    /^c\.yaml:8:12: http\.0\.firewall\.allow: /,
  ],
  ["a target that is none", "tcp: [{port: 22000, target: '::'}]", /^c\.yaml:4:29: tcp\.0\.target: /],
  ["a domain in capitals", "http: [{domain: A.example.com, target: a:1}]", /^c\.yaml:4:17: http\.0\.domain: it is not/],
  [
    "two rules for one domain",
    "http:\n- {domain: a.example.com, target: a:1}\n- {domain: a.example.com, target: b:1}",
    /^c\.yaml:6:12: http\.1\.domain: there is a rule for "a\.example\.com" above$/,
  ],
  ["two rules for one port", "tcp: [{port: 22}, {port: 22}]", /^c\.yaml:4:26: tcp\.1\.port: there is a rule/],
  ["a port that is none", "tcp: [{port: 70000}]", /^c\.yaml:4:14: tcp\.0\.port: /],
  ["a misspelt key", "http: [{domian: a.example.com, target: a:1}]", /^c\.yaml:4:/],
];

for (const [name, text, message] of BAD) {
  Deno.test(`clientConfigSchema refuses ${name}, with its place`, () => {
    throws(() => parse(text), { kind: "CONFIG_INVALID", message });
  });
}

Deno.test("clientConfigSchema leaves hashes and networks that are none to their rules, which stay closed", () => {
  for (const bad of ["secret", '""', "12", "null", "[a]"]) {
    const { http } = parse(`${rule(`basicAuth: [{user: a, hash: ${bad}}]`)}  firewall: {allow: [${bad}]}\n`);
    const [closed] = toClientRules({ http, tcp: [] });
    const [published] = new Resolver().set([closed!], "calm-fox-12345.example.com");
    equal(published?.fault?.code, "E4013", bad);
    const [hashOnly] = new Resolver().set([{ ...closed!, firewall: [] }], "calm-fox-12345.example.com");
    equal(hashOnly?.fault?.code, "E4012", bad);
  }
});

Deno.test("clientConfigSchema leaves the hash of a proxy to its door, which stays closed", async () => {
  const config = parse("proxies: {http: {port: 1, auth: {user: a, hash: secret}}}");
  const connect = (): never => {
    throw new Error("nobody comes in");
  };
  await using doors = new Doors({ connect, log: SILENT, onStates() {}, onNotice() {} });
  const [state] = await doors.set(toClientDoors(config));
  deepEqual([state?.state, state?.code], ["failed", "E5011"]);
});
