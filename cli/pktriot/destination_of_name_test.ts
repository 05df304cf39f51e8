import { deepEqual, throws } from "node:assert/strict";
import type { ListedService } from "../../protocol/request.ts";
import { destinationOfName } from "./destination_of_name.ts";

const DOMAIN = "example.com";

const SERVICES: ListedService[] = [
  { kind: "tcp", name: "redis", port: 22_001, owner: "o", tunnel: "a", online: true },
  { kind: "tcp", name: "web", port: 22_002, owner: "o", tunnel: "a", online: true },
  { kind: "tcp", name: "web", port: 22_003, owner: "o", tunnel: "b", online: true },
  { kind: "tcp", name: "one.example.com", port: 22_004, owner: "o", tunnel: "c", online: true },
  { kind: "tcp", name: "two.example.com", port: 22_005, owner: "o", tunnel: "d", online: true },
  { kind: "tcp", name: "two.example.com", port: 22_006, owner: "o", tunnel: "d", online: true },
  { kind: "http", name: "blog.example.com", port: 80, owner: "o", tunnel: "c", online: true },
  { kind: "http", name: "site", port: 80, owner: "o", tunnel: "c", online: true },
  { kind: "external", name: "db.srv.local", online: true },
];

function find(name: string, more?: number) {
  const { host, port } = destinationOfName(name, { services: SERVICES, ...(more && { more }), domain: DOMAIN });
  return `${host}:${port}`;
}

Deno.test("destinationOfName() finds a service by its name, and the only TCP rule of a tunnel", () => {
  const names = ["redis", "Redis", "one.example.com", "web", "three.example.com", "site", "blog.example.com"];
  deepEqual(names.map((name) => find(name)), [
    ...["redis:22001", "redis:22001", "one.example.com:22004"],
    // Balanced by the server, and known to it alone.
    ...["web:1", "three.example.com:1"],
    // Sites.
    ...["site:80", "blog.example.com:80"],
  ]);
  deepEqual(find("unlisted", 7), "unlisted:1");
});

Deno.test("destinationOfName() says when a port must be named, or nothing has the name", () => {
  throws(() => find("two.example.com"), { kind: "USAGE", message: /several TCP rules, at 22005, 22006/ });
  throws(() => find("db.srv.local"), { kind: "USAGE", fix: /db\.srv\.local:443/ });
  throws(() => find("nosuch"), { kind: "DESTINATION_UNKNOWN" });
  throws(() => find("127.1"), { kind: "DESTINATION_INVALID" });
});
