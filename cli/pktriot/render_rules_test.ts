import { deepEqual } from "node:assert/strict";
import { renderInfo } from "./info.ts";
import { renderDefaultTable, renderHttpTable, renderTcpTable } from "./render_rules.ts";
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

Deno.test("renderDefaultTable() shows the default page", () => {
  deepEqual(
    renderDefaultTable("small-fire-20477.example.com")[3],
    "| small-fire-20477.example.com |             | 0    | true   | 0   | --            |",
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
    http: [],
    tcp: [{ port: 22_197, firewall: { allow: ["10.0.0.1"], drop: ["10.0.0.2"] } }],
  });
  deepEqual(lines, [
    "Client:",
    "  Hostname: a.example.com",
    "  Server: example.com:443",
    "  IP: 203.0.113.7",
    "  Name: laptop\\x1b[2J",
    "  Status: running on laptop since 2026-01-02T03:04:05Z",
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
    { id: "http/blog.example.com", state: "active", address: "http://blog.example.com" },
    { id: "tcp/22197", state: "inactive", code: "E4007", message: "the port is not allocated to this tunnel" },
  ]);
  deepEqual(lines.filter((line) => !/^[|+]/.test(line)), [
    "Running HTTP services:",
    "Running TCP services:",
    "http://blog.example.com -> 127.0.0.1:8080",
    "Inactive: tcp/22197: the port is not allocated to this tunnel (E4007)",
  ]);
});
