import { deepEqual } from "node:assert/strict";
import { renderInfo } from "./info.ts";
import { renderDefaultTable, renderHttpTable, renderRules, renderTcpTable } from "./render_rules.ts";
import type { HttpEntry } from "./config.ts";
import { leadsTo } from "./target_columns.ts";
import type { RuleState } from "../../protocol/message.ts";
import { jsonOfRule } from "./live_states.ts";
import { renderReady } from "./serve_session.ts";
import { renderRunning } from "./start.ts";

Deno.test("renderHttpTable() shows hosts, folders and whole addresses", () => {
  deepEqual(
    renderHttpTable([
      { domain: "blog.example.com", target: "127.0.0.1:8080" },
      { domain: "files.example.com", target: "/srv/files" },
      { domain: "app.example.com", target: "unix:/run/app.sock" },
    ]),
    [
      "+-------------------+--------------------+------+--------+-----+---------------+",
      "| Domain            | Destination        | HTTP | Secure | TLS | Document Root |",
      "+-------------------+--------------------+------+--------+-----+---------------+",
      "| blog.example.com  | 127.0.0.1          | 8080 | false  | 0   | --            |",
      "| files.example.com |                    | 0    | false  | 0   | /srv/files    |",
      "| app.example.com   | unix:/run/app.sock | 0    | false  | 0   | --            |",
      "+-------------------+--------------------+------+--------+-----+---------------+",
    ],
  );
});

Deno.test("renderHttpTable() shows which rules are secure, and the port that is passed through", () => {
  const entries = [
    { domain: "a.example.com", target: "192.168.1.101:80", tls: { target: "192.168.1.101:443" } },
    { domain: "b.example.com", target: "/srv/b", tls: "letsencrypt" as const, redirect: true },
    { domain: "c.example.com", target: "127.0.0.1:80", tls: { certificate: "/c.pem", key: "/k.pem" } },
    { domain: "d.example.com", target: "127.0.0.1:80", tls: "server" as const },
    { domain: "e.example.com", target: "127.0.0.1:80" },
    { domain: "f.example.com", redirectTo: "https://www.example.com" },
    { domain: "g.example.com", redirect: true, tls: { target: "10.0.0.7:8443" } },
    { domain: "h.example.com", target: "10.0.0.7:80", tls: { target: "10.0.0.8:443" } },
    { domain: "i.example.com", target: "/srv/i", tls: { target: "10.0.0.8:443" } },
  ];
  const notAfter = "2999-01-01T00:00:00.000Z";
  const states = new Map(entries.map(({ domain }) => {
    const address = domain.startsWith("f") ? `http://${domain}` : `https://${domain}`;
    const until = /^[bc]/.test(domain) ? { notAfter } : {};
    return [`http/${domain}`, { id: `http/${domain}`, state: "active", address, ...until } as const];
  }));
  deepEqual(renderHttpTable(entries, states), [
    "+---------------+-------------------------------------+------+--------+--------------+---------------+",
    "| Domain        | Destination                         | HTTP | Secure | TLS          | Document Root |",
    "+---------------+-------------------------------------+------+--------+--------------+---------------+",
    "| a.example.com | 192.168.1.101                       | 80   | true   | 443          | --            |",
    "| b.example.com |                                     | 0    | true   | 0            | /srv/b        |",
    "| c.example.com | 127.0.0.1                           | 80   | true   | 0            | --            |",
    "| d.example.com | 127.0.0.1                           | 80   | true   | 0            | --            |",
    "| e.example.com | 127.0.0.1                           | 80   | true   | 0            | --            |",
    "| f.example.com | redirect to https://www.example.com | 0    | false  | 0            | --            |",
    "| g.example.com | 10.0.0.7                            | 0    | true   | 8443         | --            |",
    "| h.example.com | 10.0.0.7                            | 80   | true   | 10.0.0.8:443 | --            |",
    "| i.example.com |                                     | 0    | true   | 10.0.0.8:443 | /srv/i        |",
    "+---------------+-------------------------------------+------+--------+--------------+---------------+",
  ]);
});

Deno.test("a rule is secure only while its HTTPS works", () => {
  const [domain, id, address] = ["a.test", "http/a.test", "https://a.test"];
  const active = { id, address, state: "active" } as const;
  const cases: [HttpEntry["tls"], RuleState | undefined, boolean][] = [
    ["letsencrypt", undefined, false],
    ["letsencrypt", { id, state: "inactive", code: "E4001" }, false],
    ["letsencrypt", active, false],
    ["letsencrypt", { ...active, notAfter: "2999-01-01T00:00:00Z", code: "E7002" }, true],
    [{ certificate: "/c", key: "/k" }, { ...active, notAfter: "2026-01-01T00:00:00Z", code: "E6006" }, false],
    ["server", active, true],
    ["server", { ...active, code: "E6008" }, false],
    [{ target: "a:443" }, active, true],
    [{ target: "a:443" }, { id, state: "active" }, false],
    [undefined, { ...active, address: "http://a.test" }, false],
  ];
  for (const [tls, state, secure] of cases) {
    const entry = { domain, target: "a:1", ...(tls === undefined ? {} : { tls }) };
    const row = renderHttpTable([entry], state === undefined ? new Map() : new Map([[id, state]]))[3];
    deepEqual(row?.split("|")[4]?.trim(), `${secure}`, JSON.stringify([tls, state]));
  }
});

Deno.test("renderDefaultTable() believes the server when it says that there is no HTTPS", () => {
  const state = { id: "http/a.example.com", state: "active", address: "http://a.example.com" } as const;
  deepEqual(
    renderDefaultTable("a.example.com", new Map([[state.id, state]]))[3],
    "| a.example.com |             | 0    | false  | 0   | --            |",
  );
});

Deno.test("renderInfo() says why a rule is inactive", () => {
  const rule = { domain: "b.example.com", target: "127.0.0.1:80" };
  const lines = renderInfo(
    {
      hostname: "a.example.com",
      name: "laptop",
      server: "example.com:443",
      http: [rule],
      tcp: [],
      ports: [],
      proxies: {},
    },
    new Map([
      ["http/b.example.com", {
        id: "http/b.example.com",
        state: "inactive" as const,
        code: "E6006",
        message: "it expired on\n2026-01-01",
      }],
    ]),
  );
  deepEqual(lines.slice(-2), ["", "Inactive: http/b.example.com: it expired on\\n2026-01-01 (E6006)"]);
});

Deno.test("renderRules() warns of a redirect to HTTPS that nobody answers", () => {
  const http = ["a", "b", "c"].map((name) => ({
    domain: `${name}.test`,
    target: "127.0.0.1:80",
    redirect: name !== "c",
  }));
  const states = new Map(
    http.map(({ domain }): [string, RuleState] => {
      const address = domain === "b.test" ? "https://b.test" : `http://${domain}`;
      return [`http/${domain}`, { id: `http/${domain}`, state: "active", address }];
    }),
  );
  const warnings = renderRules({ http, tcp: [] }, states).filter((line) => line.startsWith("Warning"));
  deepEqual(warnings.map((line) => /^Warning: (\S+): .*no certificate/.exec(line)?.[1]), ["http/a.test"]);
});

Deno.test("leadsTo() tells both ways of a rule whose TLS is passed on", () => {
  const tls = { target: "10.0.0.7:443" };
  deepEqual([
    leadsTo({ target: "10.0.0.7:80", tls }),
    leadsTo({ target: "10.0.0.7:80", tls, redirect: true }),
    leadsTo({ tls, redirect: true }),
    leadsTo({ target: "10.0.0.7:80", redirectTo: "https://b.test" }),
  ], ["10.0.0.7:443, plain HTTP -> 10.0.0.7:80", "10.0.0.7:443", "10.0.0.7:443", "https://b.test"]);
});

Deno.test("renderReady() says what is ready, and until when", () => {
  deepEqual(
    renderReady("https://b.example.com", "2026-05-01T10:00:00.000Z"),
    "https://b.example.com is ready, certificate until 2026-05-01",
  );
});

Deno.test("jsonOfRule() adds what is known of the state", () => {
  const rule = { domain: "b.example.com", target: "127.0.0.1:80" };
  const state = { id: "http/b.example.com", state: "inactive", code: "E6006", message: "expired" } as const;
  const running = { kind: "running", states: new Map([[state.id, state]]) } as const;
  deepEqual(jsonOfRule(rule, running), { ...rule, state: "inactive", code: "E6006", message: "expired" });
  deepEqual(jsonOfRule({ port: 22_197 }, running), { port: 22_197 });
  deepEqual(jsonOfRule(rule, { kind: "stopped" }), { ...rule, state: "stopped" });
  deepEqual(jsonOfRule(rule, { kind: "unknown" }), rule);
});

Deno.test("renderRunning() leads a rule without a target to what it redirects to", () => {
  const config = { http: [{ domain: "old.example.com", redirectTo: { url: "https://b.test" } }], tcp: [] };
  const state = { id: "http/old.example.com", state: "active", address: "https://old.example.com" } as const;
  deepEqual(renderRunning(config, "a.example.com", [state]).at(-1), "https://old.example.com -> https://b.test");
});

Deno.test("renderDefaultTable() shows the default page", () => {
  deepEqual(
    renderDefaultTable("small-fire-20477.example.com")[3],
    "| small-fire-20477.example.com |             | 0    | false  | 0   | --            |",
  );
});

Deno.test("renderTcpTable() shows forwarded and kept ports", () => {
  deepEqual(renderTcpTable([{ port: 22_197, target: "192.168.1.101:22" }, { port: 22_198 }]), [
    "+-------+---------------+------------------+",
    "| Port  | Destination   | Destination Port |",
    "+-------+---------------+------------------+",
    "| 22197 | 192.168.1.101 | 22               |",
    "| 22198 | --            | 0                |",
    "+-------+---------------+------------------+",
  ]);
});

Deno.test("renderInfo() begins with the block of the client", () => {
  const lines = renderInfo({
    hostname: "a.example.com",
    name: "laptop\x1b[2J",
    server: "example.com:443",
    ip: "203.0.113.7",
    status: { kind: "running", host: "laptop", since: "2026-01-02T03:04:05Z" },
    ports: [],
    proxies: {},
    http: [],
    tcp: [{ port: 22_197, firewall: { allow: ["10.0.0.1"], drop: ["10.0.0.2"] } }],
  });
  deepEqual(lines, [
    "Client:",
    "  Hostname: a.example.com",
    "  Server: example.com:443",
    "  IP: 203.0.113.7",
    "  Name: laptop\\x1b[2J",
    "  Status: running on laptop since 2026-01-02 03:04 UTC",
    "",
    "TCP rules:",
    "+-------+-------------+------------------+",
    "| Port  | Destination | Destination Port |",
    "+-------+-------------+------------------+",
    "| 22197 | --          | 0                |",
    "+-------+-------------+------------------+",
    "",
    "TCP firewall:",
    "+-------+--------+----------+",
    "| Port  | Action | Network  |",
    "+-------+--------+----------+",
    "| 22197 | allow  | 10.0.0.1 |",
    "| 22197 | drop   | 10.0.0.2 |",
    "+-------+--------+----------+",
  ]);
});

Deno.test("renderRunning() tells addresses, and why a rule is inactive", () => {
  const config = {
    http: [{ domain: "blog.example.com", target: "127.0.0.1:8080" }],
    tcp: [{ port: 22_197, target: "127.0.0.1:22" }],
  };
  const lines = renderRunning(config, "a.example.com", [
    {
      ...{ id: "http/blog.example.com", state: "active", address: "http://blog.example.com" },
      ...{ code: "E7001", message: "the CA refuses" },
    },
    { id: "tcp/22197", state: "inactive", code: "E4007", message: "the port is not allocated to this tunnel" },
  ]);
  deepEqual(lines.filter((line) => !/^[|+]/.test(line)), [
    "Running HTTP services:",
    "Running TCP services:",
    "http://blog.example.com -> 127.0.0.1:8080",
    "Warning: http/blog.example.com: the CA refuses (E7001)",
    "Inactive: tcp/22197: the port is not allocated to this tunnel (E4007)",
  ]);
});

Deno.test("the tables of rules have a column for the mesh when a rule has something to say there", () => {
  deepEqual(renderTcpTable([{ port: 1, target: "a:1", service: "redis", private: true }, { port: 2, target: "b:2" }]), [
    "+------+-------------+------------------+----------------+",
    "| Port | Destination | Destination Port | Service        |",
    "+------+-------------+------------------+----------------+",
    "| 1    | a           | 1                | redis, private |",
    "| 2    | b           | 2                | --             |",
    "+------+-------------+------------------+----------------+",
  ]);
  const [, head = "", , row = ""] = renderHttpTable([{ domain: "a.example.com", target: "a:1", private: true }]);
  deepEqual([/\| Service \|$/.test(head), /\| private \|$/.test(row)], [true, true]);
});
