import { deepEqual, throws } from "node:assert/strict";
import { parseConfig } from "../config_text.ts";
import { clientConfigSchema } from "./config.ts";

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

const BAD: [name: string, text: string, message: RegExp][] = [
  [
    "a malformed network",
    "http:\n- domain: a.example.com\n  target: a:1\n  firewall:\n    allow:\n      - 10.0.0.0/33\n",
    /^c\.yaml:9:9: http\.0\.firewall\.allow\.0: .*10\.0\.0\.0\/33/,
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
