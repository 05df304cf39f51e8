import { deepEqual, equal } from "node:assert/strict";
import { parse } from "yaml";
import { parseConfig } from "../config_text.ts";
import { clientConfigSchema } from "./config.ts";
import { putFirewall, putHttp, putTcp, removeRule } from "./edit_rules.ts";

const HEAD = `# who we are
version: 1
server: { address: "example.com:443" }
tunnel: { id: t1, token: secret, hostname: a.example.com, name: laptop }
`;
const RULES = `http:
  # the blog
  - domain: blog.example.com # mine
    target: 127.0.0.1:8080
    firewall:
      allow:
        - 203.0.113.0/24 # the office
        - 198.51.100.7
`;

type Edit = (tree: Parameters<typeof putHttp>[0], config: Parameters<typeof putHttp>[1]) => unknown;

/** The text after an edit; it must still fit the schema. */
function edited(text: string, edit: Edit): string {
  const { document, value } = parseConfig({ path: "c.yaml", text: HEAD + text }, clientConfigSchema);
  edit(document, value);
  const after = document.toString({ lineWidth: 0 });
  parseConfig({ path: "c.yaml", text: after }, clientConfigSchema);
  return after.slice(HEAD.length);
}

Deno.test("putHttp() makes the first rule", () => {
  const text = edited("", (tree, config) => putHttp(tree, config, { domain: "b.example.com", target: "127.0.0.1:80" }));
  equal(text, "http:\n  - domain: b.example.com\n    target: 127.0.0.1:80\n");
});

Deno.test("putHttp() makes the first rule in an empty list", () => {
  for (const empty of ["http:\n", "http: []\n"]) {
    const text = edited(empty, (tree, config) => putHttp(tree, config, { domain: "b.example.com", target: "a:80" }));
    equal(text, "http:\n  - domain: b.example.com\n    target: a:80\n");
  }
});

Deno.test("putHttp() adds a rule below the others", () => {
  const text = edited(RULES, (tree, config) => {
    equal(putHttp(tree, config, { domain: "b.example.com", target: "a:80", hostHeader: "x" }), "added");
  });
  equal(text, `${RULES}  - domain: b.example.com\n    target: a:80\n    hostHeader: x\n`);
});

Deno.test("putHttp() gives a domain a new target and leaves its comments and firewall", () => {
  const text = edited(RULES, (tree, config) => {
    equal(putHttp(tree, config, { domain: "blog.example.com", target: "127.0.0.1:9090" }), "updated");
  });
  equal(text, RULES.replace("8080", "9090"));
});

Deno.test("putTcp() keeps the target of a port that is allocated again", () => {
  const rules = "tcp:\n  - port: 22197\n    target: a:22\n";
  equal(edited(rules, (tree, config) => putTcp(tree, config, { port: 22_197 })), rules);
  equal(edited("", (tree, config) => putTcp(tree, config, { port: 22_197 })), "tcp:\n  - port: 22197\n");
});

Deno.test("putFirewall() touches only the networks that change", () => {
  const text = edited(RULES, (tree) => {
    putFirewall(tree, ["http", 0], { allow: ["203.0.113.0/24"], drop: ["203.0.113.9"] });
  });
  equal(text, RULES.replace("        - 198.51.100.7\n", "      drop:\n        - 203.0.113.9\n"));
});

Deno.test("putFirewall() makes a firewall where there is none", () => {
  const rules = "tcp:\n  - port: 22197\n";
  for (const empty of ["", "    firewall:\n", "    firewall: {}\n", "    firewall:\n      drop:\n"]) {
    const text = edited(rules + empty, (tree) => putFirewall(tree, ["tcp", 0], { allow: [], drop: ["10.0.0.1"] }));
    deepEqual(parse(text)["tcp"], [{ port: 22_197, firewall: { drop: ["10.0.0.1"] } }]);
  }
});

Deno.test("putFirewall() leaves no empty lists behind", () => {
  const text = edited(RULES, (tree) => putFirewall(tree, ["http", 0], { allow: [], drop: [] }));
  equal(text, RULES.slice(0, RULES.indexOf("    firewall")));
});

Deno.test("removeRule() takes out one rule", () => {
  const text = edited(`${RULES}  - domain: b.example.com\n    target: a:80\n`, (tree, config) => {
    equal(removeRule(tree, config, { kind: "http", domain: "b.example.com" }), true);
    equal(removeRule(tree, config, { kind: "http", domain: "none.example.com" }), false);
  });
  equal(text, RULES);
});
