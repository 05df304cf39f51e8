import { deepEqual, throws } from "node:assert/strict";
import { parseConfig } from "../config_text.ts";
import { serverConfigSchema } from "./config.ts";

function parse(text: string) {
  return parseConfig({ path: "s.yaml", text: `domain: example.com\n${text}` }, serverConfigSchema).value;
}

Deno.test("serverConfigSchema reads every form of a key", () => {
  deepEqual(parse("admin: off").admin, "off");
  deepEqual(parse("admin: false").admin, false);
  deepEqual(parse("http: {listen: ':80', public_port: 8000}").http, {
    listen: { hostname: "", port: 80 },
    public_port: 8000,
  });
  deepEqual(parse("limits: {head: 2s, visitors: 10}").limits, { headMs: 2_000, visitors: 10 });
  deepEqual(parse("drain: 1m").drain, 60_000);
  deepEqual(parse("domains: {resolvers: [1.1.1.1, '[::1]:5353'], without_proof: [in.example.com]}").domains, {
    resolvers: ["1.1.1.1", "[::1]:5353"],
    without_proof: ["in.example.com"],
  });
  deepEqual(["acme: off", "acme: false", ""].map((text) => parse(text).acme), [undefined, undefined, undefined]);
  deepEqual(parse("acme:").acme, {});
  deepEqual(parse("acme: {directory: 'https://ca.example/dir', email: a@b.example}").acme, {
    directory: "https://ca.example/dir",
    email: "a@b.example",
  });
  deepEqual(
    ["on", "true", "off", "false", "[10.0.0.2, '[::1]:5353']"].map((text) =>
      parse(`acme: {dns_hook: h, dns_check: ${text}}`).acme?.dns_check
    ),
    [undefined, undefined, false, false, ["10.0.0.2", "[::1]:5353"]],
  );
  deepEqual(["mesh: off", "mesh: false", "mesh: {enabled: false}"].map((text) => parse(text).mesh), [
    false,
    false,
    false,
  ]);
  deepEqual(["", "mesh:", "mesh: {allow: }"].map((text) => parse(text).mesh), [
    undefined,
    { allow: [], policy: [], resolvers: [] },
    { allow: [], policy: [], resolvers: [] },
  ]);
  deepEqual(
    parse("mesh: {policy: [{from: [tag:a, '*'], to: ['owner:b'], action: deny}], resolvers: [10.0.0.1]}").mesh,
    {
      allow: [],
      policy: [{ from: ["tag:a", "*"], to: ["owner:b"], action: "deny" }],
      resolvers: ["10.0.0.1"],
    },
  );
  deepEqual(
    ["{socks: }", "{socks: {}, connect: off}", "{socks: {listen: '[::1]:1080'}, connect: on, connect_tls_listen: ':0'}"]
      .map(
        (text) => {
          const { socks, connect, connectTlsListen } = parse(`mesh: ${text}`).mesh || {};
          return [socks, connect, connectTlsListen];
        },
      ),
    [
      [undefined, undefined, undefined],
      [undefined, undefined, undefined],
      [{ listen: { hostname: "::1", port: 1080 } }, true, { port: 0 }],
    ],
  );
  deepEqual(parse("proxy_protocol: {from: [10.0.0.1]}").proxy_protocol, { from: ["10.0.0.1"] });
});

const BAD: [name: string, text: string, message: RegExp][] = [
  ["a listener without its colon", "http: {listen: 80}", /^s\.yaml:2:16: http\.listen: it is not host:port or :port$/],
  ["a port out of range", "tcp: {ports: 22000-99999}", /^s\.yaml:2:14: tcp\.ports: it is not a range/],
  ["a range backwards", "tcp: {ports: 200-100}", /tcp\.ports: it is not a range/],
  ["a malformed CIDR", "trusted_proxies:\n  - 10.0.0.0/8\n  - 10.0.0.0/33", /^s\.yaml:4:5: trusted_proxies\.1: /],
  [
    "a resolver by its name",
    "domains: {resolvers: [dns.org]}",
    /^s\.yaml:2:23: domains\.resolvers\.0: "dns\.org" is not/,
  ],
  [
    "a domain that is none",
    "domains: {without_proof: ['*.a.org']}",
    /domains\.without_proof\.0: it is not a host name/,
  ],
  ["a time without a unit", "drain: 30", /^s\.yaml:2:8: drain: it is not a time/],
  ["a key without its certificate", "tls: {key: k.pem}", /^s\.yaml:2:6: tls: certificate and key belong together$/],
  ["an unknown limit", "limits: {hed: 1s}", /^s\.yaml:2:10: limits\.hed: there is no such key$/],
  ["an unknown key", "domian: x", /^s\.yaml:2:1: domian: there is no such key$/],
  ["an ACME directory without TLS", "acme: {directory: 'http://ca.example'}", /acme\.directory: it is neither letsenc/],
  ["an e-mail address that is none", "acme: {email: me}", /^s\.yaml:2:15: acme\.email: it is not an e-mail address$/],
  ["an unknown key of acme", "acme: {mail: a@b.example}", /^s\.yaml:2:8: acme\.mail: there is no such key$/],
  ["acme that is neither", "acme: yes", /^s\.yaml:2:7: acme: it is neither off nor has it keys of its own$/],
  [
    "a check of DNS that is neither",
    "acme: {dns_hook: h, dns_check: maybe}",
    /acme\.dns_check: it is neither on nor off/,
  ],
  ["a check of DNS at no server", "acme: {dns_hook: h, dns_check: []}", /acme\.dns_check: it names no server$/],
  [
    "a name server by its name",
    "acme: {dns_hook: h, dns_check: [ns.org]}",
    /dns_check\.0: "ns\.org" is not the address/,
  ],
  ["a check of DNS without a hook", "acme: {dns_check: off}", /acme\.dns_check: it is about what dns_hook has set/],
  ["a key without its id", "acme: {eab: {hmac_key: abcdefghijklmnopqrst}}", /acme\.eab\.key_id: /],
  [
    "one port for two listeners",
    "http: {listen: ':8080'}\ntls: {listen: '[::]:8080'}",
    /^s\.yaml:3:15: tls\.listen: \[::\]:8080 is taken by http\.listen, which is :8080; give each a port of its own$/,
  ],
  [
    "a listener at the place of a default one",
    "http: {listen: ':443'}",
    /^s\.yaml:2:16: http\.listen: :443 is taken by tls\.listen, which has the default \[::\]:443;/,
  ],
  [
    "an admin listener at the visitors' port",
    "http: {listen: '0.0.0.0:81'}\nadmin: {listen: '127.0.0.1:81'}",
    /admin\.listen: 127\.0\.0\.1:81 is taken by http\.listen/,
  ],
  [
    "a proxy at the tunnels' port",
    "mesh: {connect_tls_listen: ':443'}",
    /mesh\.connect_tls_listen: :443 is taken by tls/,
  ],
  ["PROXY protocol from nobody", "proxy_protocol: {from: []}", /proxy_protocol\.from: it names no balancer$/],
  ["PROXY protocol from no network", "proxy_protocol: {from: [x]}", /proxy_protocol\.from\.0: "x" is not an address/],
  ["a mesh that is neither", "mesh: yes", /^s\.yaml:2:7: mesh: it is neither off nor has it keys of its own$/],
  ["an unknown key of the mesh", "mesh: {alow: []}", /^s\.yaml:2:8: mesh\.alow: there is no such key$/],
  [
    "a host that cannot be allowed",
    "mesh:\n  allow:\n    - a.b\n    - 010.0.0.1",
    /^s\.yaml:5:7: mesh\.allow\.1: "010/,
  ],
  ["a SOCKS port that is none", "mesh: {socks: {listen: 1080}}", /mesh\.socks\.listen: it is not host:port or :port$/],
  ["a switch that is neither", "mesh: {connect: maybe}", /mesh\.connect: it is neither on nor off$/],
  ["a policy for nobody", "mesh: {policy: [{from: [], to: ['*'], action: deny}]}", /policy\.0\.from: it names nobody$/],
  [
    "a policy with a typo",
    "mesh: {policy: [{from: ['*'], to: [tga:x], action: deny}]}",
    /policy\.0\.to\.0: "tga:x" says/,
  ],
  ["a policy without action", "mesh: {policy: [{from: ['*'], to: ['*']}]}", /mesh\.policy\.0\.action: /],
  [
    "everything for anonymous",
    "mesh: {policy: [{from: [anonymous], to: ['*'], action: allow}]}",
    /mesh\.policy\.0: "\*" is not for anonymous/,
  ],
  [
    "an admin listener that is neither",
    "admin: yes",
    /^s\.yaml:2:8: admin: it is neither off nor has it a listen address$/,
  ],
];

for (
  const [name, text] of [
    ["the same port of other addresses", "http: {listen: '127.0.0.2:80'}\ntls: {listen: '127.0.0.1:80'}"],
    ["the same port of IPv4 and of one IPv6 address", "http: {listen: '0.0.0.0:80'}\ntls: {listen: '[::1]:80'}"],
    ["any free port for several", "http: {listen: ':0'}\ntls: {listen: ':0'}\nadmin: {listen: '127.0.0.1:0'}"],
    ["the default of a listener that is off", "http: {listen: '127.0.0.1:9400'}\nadmin: off"],
  ]
) {
  Deno.test(`serverConfigSchema takes ${name}`, () => void parse(text!));
}

Deno.test("serverConfigSchema does not repeat a secret that it refuses", () => {
  throws(() => parse("acme: {eab: {key_id: a, hmac_key: canary/canary/canary/canary}}"), (error: Error) => {
    return /acme\.eab\.hmac_key: it is not a key in base64url$/.test(error.message) &&
      !error.message.includes("canary");
  });
});

for (const [name, text, message] of BAD) {
  Deno.test(`serverConfigSchema refuses ${name}, with its place`, () => {
    throws(() => parse(text), { kind: "CONFIG_INVALID", message });
  });
}
